/* A worker in a C program's own event loop: `host stage|speculator MODEL COORDINATOR [WORKERS [LAYERS...]]`.
 *
 * Prints one line an event. SIGTERM or SIGINT drains, a second one ends at once. Exit status 0: every worker ended in order.
 *
 *     cc host.c $(pkg-config --cflags --libs winnow_worker) -o host
 */
#include <winnow_worker.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { most_workers = 16 };

/* Says what is wrong, if anything is. */
static int failed(const char *what, winnow_status *status) {
    if (status == NULL) return 0;
    fprintf(stderr, "%s: %s\n", what, winnow_status_message(status));
    winnow_status_release(status);
    return 1;
}

/* Called on threads of the library, several at once: one call of fprintf is one line. */
static void on_log(winnow_log_level level, const char *message, void *user_data) {
    fprintf(stderr, "%s %d: %s\n", (const char *)user_data, level, message);
}

static const char *const kinds[] = {
    "?", "registered", "coordinator_lost", "assigned", "unassigned", "loading", "ready", "fault", "draining", "ended",
};

/* Prints the events that wait; counts the worker's end, and whether that was in order. */
static int take_events(int number, winnow_worker *worker, int *ended, int *faults) {
    for (;;) {
        winnow_event event = {.struct_size = sizeof event};
        int is_event;
        if (failed("event", winnow_worker_next_event(worker, &event, &is_event))) return 1;
        if (!is_event) return 0;
        const int kind = event.kind > 0 && event.kind <= WINNOW_EVENT_ENDED ? event.kind : 0;
        printf("%d %s", number, kinds[kind]);
        if (kind == WINNOW_EVENT_ASSIGNED)
            printf(" stage %d of %d layers %s", event.stage, event.stage_count, event.layers);
        if (kind == WINNOW_EVENT_LOADING) printf(" %.0f %%", event.fraction * 100);
        printf("%s%s\n", event.text[0] != '\0' ? " " : "", event.text);
        fflush(stdout);
        if (kind == WINNOW_EVENT_ENDED) {
            *ended += 1;
            *faults += event.code != WINNOW_OK;
        }
    }
}

int main(int count, char **words) {
    const int workers = count > 4 ? atoi(words[4]) : 1;
    if (count < 4 || count > 5 + workers || workers < 1 || workers > most_workers
        || (strcmp(words[1], "stage") != 0 && strcmp(words[1], "speculator") != 0)) {
        fprintf(stderr, "usage: host stage|speculator MODEL COORDINATOR [WORKERS [LAYERS...]]\n");
        return 64;
    }
    if (winnow_abi_version() < WINNOW_WORKER_ABI_VERSION) {
        fprintf(stderr, "the winnow_worker library is older than this program\n");
        return 69;
    }

    /* This program's signals are its own; threads of the library inherit the mask. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct pollfd watched[most_workers + 1];
    watched[workers] = (struct pollfd){.fd = signalfd(-1, &ends, SFD_CLOEXEC), .events = POLLIN};

    winnow_worker *all[most_workers];
    for (int i = 0; i < workers; i++) {
        char name[32];
        snprintf(name, sizeof name, "c-%d-%d", (int)getpid(), i);
        winnow_worker_config config;
        winnow_worker_config_init(&config, sizeof config);
        config.role = strcmp(words[1], "stage") == 0 ? WINNOW_ROLE_STAGE : WINNOW_ROLE_SPECULATOR;
        config.model = words[2];
        config.coordinator = words[3];
        config.name = name;
        config.layers = count > 5 + i ? words[5 + i] : NULL;
        config.log_level = WINNOW_LOG_WARNING;
        config.on_log = on_log;
        config.log_user_data = "host";
        if (failed("create", winnow_worker_create(&config, &all[i]))) return 1;
        if (failed("start", winnow_worker_start(all[i]))) return 1;
        watched[i] = (struct pollfd){.events = POLLIN};
        if (failed("descriptor", winnow_worker_descriptor(all[i], &watched[i].fd))) return 1;
    }

    int ended = 0, faults = 0;
    while (ended < workers) {
        if (poll(watched, (nfds_t)workers + 1, -1) < 0) continue;
        if (watched[workers].revents != 0) {
            struct signalfd_siginfo info;
            if (read(watched[workers].fd, &info, sizeof info) == sizeof info)
                for (int i = 0; i < workers; i++)
                    if (failed("drain", winnow_worker_drain(all[i]))) return 1;
        }
        for (int i = 0; i < workers; i++)
            if (watched[i].revents != 0 && take_events(i, all[i], &ended, &faults)) return 1;
    }
    for (int i = 0; i < workers; i++)
        if (failed("destroy", winnow_worker_destroy(all[i]))) return 1;
    close(watched[workers].fd);
    return faults > 0;
}
