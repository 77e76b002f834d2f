/* A worker in a process that may open only so many files, each number in turn: it lives, or there is a status, and no signal.
 *
 *     few_descriptors MODEL COORDINATOR
 */
#include <winnow_worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Far more than a worker needs. */
enum { most = 80 };

/* What came of a call; 0 is well. Running out of files is the one problem there may be. */
static winnow_code look(const char *what, winnow_status *status, int limit) {
    const winnow_code code = winnow_status_code(status);
    if (code != WINNOW_OK && code != WINNOW_TRANSPORT && code != WINNOW_BAD_MODEL) {
        printf("%d files: %s: %d %s\n", limit, what, code, winnow_status_message(status));
        exit(2);
    }
    winnow_status_release(status);
    return code;
}

/* Exit status 0: it lived; 1: it could not, and said so. */
static int live(const char *model, const char *coordinator, int limit) {
    const struct rlimit few = {(rlim_t)limit, (rlim_t)limit};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 70;
    winnow_worker_config config;
    winnow_worker_config_init(&config, sizeof config);
    config.model = model;
    config.coordinator = coordinator;
    winnow_worker *worker = NULL;
    int failed = look("create", winnow_worker_create(&config, &worker), limit) != WINNOW_OK;
    if (!failed) failed = look("start", winnow_worker_start(worker), limit) != WINNOW_OK;
    if (!failed) {
        look("drain", winnow_worker_drain(worker), limit);
        failed = look("wait", winnow_worker_wait(worker, 30000), limit) != WINNOW_OK;
    }
    look("destroy", winnow_worker_destroy(worker), limit);
    return failed;
}

int main(int count, char **words) {
    if (count != 3) return 64;
    int status = 0;
    for (int limit = 3; limit <= most; limit++) {
        const pid_t child = fork();
        if (child == 0) exit(live(words[1], words[2], limit));
        if (child < 0 || waitpid(child, &status, 0) != child) return 70;
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
            printf("%d files: wait status %d\n", limit, status);
            return 1;
        }
    }
    /* With the most it lives. */
    return WEXITSTATUS(status);
}
