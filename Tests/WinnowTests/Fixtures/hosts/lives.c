/* Many lives in one process: makes a worker, waits until it has computed rows (or, with 0 as the last word, only registered
 * nowhere), ends and destroys it, again and again; then looks at threads, file descriptors and memory.
 *
 *     lives MODEL COORDINATOR COUNT MUST-SERVE
 */
#include <winnow_worker.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check(const char *what, winnow_status *status) {
    if (status == NULL) return 0;
    printf("%s: %s\n", what, winnow_status_message(status));
    winnow_status_release(status);
    return 1;
}

static int entries(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL) count++;
    if (folder != NULL) closedir(folder);
    return count;
}

static long resident_kib(void) {
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %ld", &value) == 1) break;
    if (file != NULL) fclose(file);
    return value;
}

static int live(const char *model, const char *coordinator, int must_serve) {
    winnow_worker_config config;
    winnow_worker_config_init(&config, sizeof config);
    config.model = model;
    config.coordinator = coordinator;
    winnow_worker *worker;
    /* One that never lived leaves as little. */
    if (check("create", winnow_worker_create(&config, &worker))) return 1;
    if (check("drain", winnow_worker_drain(worker))) return 1;
    if (check("destroy", winnow_worker_destroy(worker))) return 1;
    if (check("create", winnow_worker_create(&config, &worker))) return 1;
    if (check("start", winnow_worker_start(worker))) return 1;
    winnow_worker_snapshot snapshot = {.struct_size = sizeof snapshot};
    for (int i = 0; must_serve && snapshot.rows == 0; i++) {
        if (check("snapshot", winnow_worker_get_snapshot(worker, &snapshot))) return 1;
        if (i == 6000) {
            printf("nothing to compute in a minute, phase %d\n", snapshot.phase);
            return 1;
        }
        usleep(10000);
    }
    if (check("stop", winnow_worker_stop(worker))) return 1;
    if (check("wait", winnow_worker_wait(worker, 30000))) return 1;
    return check("destroy", winnow_worker_destroy(worker));
}

int main(int count, char **words) {
    if (count != 5) return 64;
    const int lives = atoi(words[3]);
    int descriptors = 0;
    long resident = 0;
    for (int i = 0; i < lives; i++) {
        if (live(words[1], words[2], atoi(words[4]))) return 1;
        /* What the first few set up once stays. */
        if (i == lives / 10) {
            descriptors = entries("/proc/self/fd");
            resident = resident_kib();
        }
    }
    /* A thread that was waited for may still be on its way out of the kernel. */
    for (int i = 0; i < 500 && entries("/proc/self/task") > 3; i++) usleep(10000);
    printf("%d lives: threads %d, descriptors %d then %d, resident %ld then %ld KiB\n", lives,
        entries("/proc/self/task") - 2, descriptors, entries("/proc/self/fd"), resident, resident_kib());
    return entries("/proc/self/task") != 3 || entries("/proc/self/fd") != descriptors
        || resident_kib() > resident + 4096;
}
