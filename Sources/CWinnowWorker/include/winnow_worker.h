/* winnow_worker.h: a pipeline stage, or a speculator, inside a program of your own.
 *
 * A worker reports to a Winnow coordinator, loads the layers it is given, computes and passes on. This library sets no
 * signal handler, writes to no standard stream, calls neither exit nor abort on anything that comes from outside, and
 * keeps its Swift runtime to itself. Link with `pkg-config --cflags --libs winnow_worker`.
 *
 *     winnow_worker_config config;
 *     winnow_worker_config_init(&config, sizeof config);
 *     config.model = "/models/main";
 *     config.coordinator = "tcp://head:5700";
 *     config.key_file = "/etc/winnow/worker-0.key";    (a coordinator on this host needs none)
 *     winnow_worker *worker = NULL;
 *     winnow_status *status = winnow_worker_create(&config, &worker);
 *     if (status == NULL) status = winnow_worker_start(worker);
 *     if (status == NULL) status = winnow_worker_wait(worker, -1);
 *     if (status != NULL) fprintf(stderr, "%s\n", winnow_status_message(status));
 *     winnow_status_release(status);
 *     winnow_status_release(winnow_worker_destroy(worker));
 *
 * Rules that hold for every function
 *
 * - Threads. Any function may be called from any thread at any time, also for one worker from several threads. Two of them
 *   wait, winnow_worker_wait and winnow_worker_destroy: inside a callback they give WINNOW_MISUSE instead, as does
 *   winnow_worker_create.
 * - Strings are UTF-8 and end with a zero byte. Those you pass are copied before the call returns; those you get are good
 *   for as long as each function says.
 * - Handles are names, not addresses: one that was destroyed, or never was, gives WINNOW_INVALID_HANDLE.
 * - Structs that you fill begin with their size, as your compiler knows it: winnow_*_init sets it. The library reads and
 *   writes no byte beyond it, so that a program built against this header runs with every later library of the same
 *   major version. Fields are only ever added at the end; each says since which version of the interface it is there, if
 *   that is not the first. An older library leaves a newer field alone: look at winnow_abi_version.
 * - fork without exec: the child has no worker; let it call nothing of this library.
 */
#ifndef WINNOW_WORKER_H
#define WINNOW_WORKER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It changes when a function or a field is added; the library's major version (SONAME)
 * when something goes or means another thing. */
#define WINNOW_WORKER_ABI_VERSION 2

#if defined(__GNUC__) || defined(__clang__)
#define WINNOW_MUST_CHECK __attribute__((warn_unused_result))
#define WINNOW_PUBLIC __attribute__((visibility("default")))
#else
#define WINNOW_MUST_CHECK
#define WINNOW_PUBLIC
#endif

/* What the library that is loaded speaks: at least WINNOW_WORKER_ABI_VERSION, or it is older than your header. */
WINNOW_PUBLIC uint32_t winnow_abi_version(void);

/* ---- What became of a call ------------------------------------------------------------------------------------------ */

/* NULL: all is well. Anything else says what is wrong, must be looked at, and is yours to release. */
typedef struct winnow_status winnow_status;

typedef int32_t winnow_code;
enum {
    WINNOW_OK = 0,
    /* An argument that can't be: NULL where something must be, a struct_size too small, text that is not UTF-8. */
    WINNOW_INVALID_ARGUMENT = 1,
    /* A handle that is destroyed, or none. */
    WINNOW_INVALID_HANDLE = 2,
    /* A call that can't be made now: started twice, a call that waits inside a callback. */
    WINNOW_MISUSE = 3,
    /* A field of the configuration is out of its range; the message names it. */
    WINNOW_BAD_CONFIGURATION = 4,
    /* The key file can't be used. */
    WINNOW_BAD_KEY = 5,
    /* The model can't be read, or does not hold what is asked for. */
    WINNOW_BAD_MODEL = 6,
    /* Memory that can't be had; the message says for what, and how much. */
    WINNOW_NO_MEMORY = 7,
    /* A socket can't be opened, bound or connected, or no file descriptor is left. */
    WINNOW_TRANSPORT = 8,
    /* The coordinator will not have this worker; the message says why. */
    WINNOW_REFUSED = 9,
    /* The time is up, and the worker has not ended. */
    WINNOW_TIMEOUT = 10
};

/* WINNOW_OK for NULL. */
WINNOW_PUBLIC winnow_code winnow_status_code(const winnow_status *status);

/* One line for people, good until the status is released; "ok" for NULL. */
WINNOW_PUBLIC const char *winnow_status_message(const winnow_status *status);

/* Takes NULL. */
WINNOW_PUBLIC void winnow_status_release(winnow_status *status);

/* ---- What a worker tells -------------------------------------------------------------------------------------------- */

typedef int32_t winnow_event_kind;
enum {
    /* A coordinator answers. */
    WINNOW_EVENT_REGISTERED = 1,
    /* The coordinator is silent, and what it gave is dropped; the worker waits for it. */
    WINNOW_EVENT_COORDINATOR_LOST = 2,
    /* A place is given: stage, stage_count, first_layer and end_layer. */
    WINNOW_EVENT_ASSIGNED = 3,
    /* The place is taken away. */
    WINNOW_EVENT_UNASSIGNED = 4,
    /* Weights of first_layer ..< end_layer are being loaded; fraction of them is there. */
    WINNOW_EVENT_LOADING = 5,
    /* The place is served. */
    WINNOW_EVENT_READY = 6,
    /* The assignment can't be served any further; text says why. The coordinator gives another. */
    WINNOW_EVENT_FAULT = 7,
    /* The worker asked to be relieved. */
    WINNOW_EVENT_DRAINING = 8,
    /* The worker has ended, in order (code WINNOW_OK) or not (code and text say why). The last event. */
    WINNOW_EVENT_ENDED = 9
};

typedef struct winnow_event {
    size_t struct_size;
    winnow_event_kind kind;
    /* ENDED: why. Else WINNOW_OK. */
    winnow_code code;
    /* ASSIGNED: the place in the pipeline, from 0, and how many there are. Else 0. */
    int32_t stage;
    int32_t stage_count;
    /* ASSIGNED, LOADING: the layers, first and one past the last; of both perhaps a part. Else 0. */
    int32_t first_layer;
    int32_t end_layer;
    /* LOADING: 0 to 1. Else 0. */
    double fraction;
    /* FAULT, ENDED: why; else "". Never NULL. In a callback good until it returns; from winnow_worker_next_event until the
     * next call of that for this worker, or its destruction. */
    const char *text;
    /* Since version 2. ASSIGNED: the layers to the half of one, as winnow_worker_config.layers takes them; else "". Never
     * NULL; good for as long as text. */
    const char *layers;
} winnow_event;

/* Takes events, in order, one at a time, on a thread of the worker's own: be quick, and hand long work to a thread of
 * yours. Never called after winnow_worker_destroy has returned. Nothing may be thrown or jumped out of it. */
typedef void (*winnow_event_callback)(const winnow_event *event, void *user_data);

typedef int32_t winnow_log_level;
enum {
    WINNOW_LOG_TRACE = 0,
    WINNOW_LOG_DEBUG = 1,
    WINNOW_LOG_INFO = 2,
    WINNOW_LOG_NOTICE = 3,
    WINNOW_LOG_WARNING = 4,
    WINNOW_LOG_ERROR = 5,
    WINNOW_LOG_CRITICAL = 6
};

/* Takes one line for the log, without its end. Called on several threads, at once at times: those of the worker, and the
 * thread inside winnow_worker_create. message is good until it returns. Never called after winnow_worker_destroy has
 * returned. Nothing may be thrown or jumped out of it. */
typedef void (*winnow_log_callback)(winnow_log_level level, const char *message, void *user_data);

/* ---- What a worker is told ------------------------------------------------------------------------------------------ */

typedef int32_t winnow_role;
enum {
    /* Layers of the main model, one place of a pipeline. */
    WINNOW_ROLE_STAGE = 0,
    /* The whole speculator: scores prompts. */
    WINNOW_ROLE_SPECULATOR = 1
};

typedef int32_t winnow_precision;
enum {
    /* The best for this CPU that loses nothing a bf16 checkpoint has. */
    WINNOW_PRECISION_AUTOMATIC = 0,
    WINNOW_PRECISION_F32 = 1,
    WINNOW_PRECISION_BF16 = 2,
    /* Weights in 8 bits, KV cache in bf16. */
    WINNOW_PRECISION_INT8 = 3
};

typedef struct winnow_worker_config {
    size_t struct_size;
    /* The model's directory or GGUF file: the coordinator's main model for a stage, its speculator for a speculator. Must
     * be given. */
    const char *model;
    /* The coordinator's control endpoint, tcp://HOST:PORT or ipc://PATH. Must be given. */
    const char *coordinator;
    /* Where the stage before this one connects; port * takes a free one. NULL: a free port of the loopback where the
     * coordinator is on this host, else port 5710 of the address that the route to it begins at. */
    const char *listen;
    /* The host name under which other machines reach `listen`. NULL: its address. */
    const char *advertised_host;
    /* Default WINNOW_ROLE_STAGE. */
    winnow_role role;
    /* Default WINNOW_PRECISION_AUTOMATIC. */
    winnow_precision precision;
    /* The layers to hold, first and one past the last. Default -1, -1: the coordinator's choice, which may begin and end
     * within a layer. */
    int32_t first_layer;
    int32_t end_layer;
    /* Compute threads, 1 to 1024. Default 1. */
    int32_t threads;
    /* Not 0: measure how fast this host multiplies, some tenths of a second inside winnow_worker_create, so that the
     * coordinator gives it layers accordingly. Default 0. */
    int32_t measures_speed;
    /* The CPUs to keep compute threads on, each 0 to 1023. NULL and 0: any. */
    const int32_t *cpus;
    size_t cpu_count;
    /* Room for keys and values, in tokens over all requests at a time, 1 and more. Default 0: what half of the free memory
     * holds. */
    int64_t kv_tokens;
    /* The pipeline to serve, by name. NULL: the coordinator's choice. */
    const char *pipeline;
    /* The directory where weights quantised to int8 are kept for the next start. NULL: nowhere. */
    const char *weights_cache;
    /* The name in logs, in the coordinator's status and of the threads, 1 to 128 bytes. NULL: "worker". */
    const char *name;
    /* The worker's key file, made by `winnow keys new`: links are encrypted and authenticated. NULL: plain text. */
    const char *key_file;
    /* Not 0: plain text is allowed on links that other machines can read and write. Default 0. */
    int32_t insecure;
    /* Lines below this level are not made. Default WINNOW_LOG_INFO. */
    winnow_log_level log_level;
    /* NULL: no log. */
    winnow_log_callback on_log;
    void *log_user_data;
    /* NULL: no calls; events can be taken by winnow_worker_next_event all the same. */
    winnow_event_callback on_event;
    void *event_user_data;
    /* Since version 2. The layers to hold, to the half of one, in place of first_layer and end_layer: first and last, both
     * included, "0-4", or "2". "0-7a" ends with the attention of layer 7, "7f-15" begins with its feed-forward; "0-7f34" ends
     * with its feed-forward for the first 34 % of a request's rows, and "7f34-15" begins with it for the others. NULL:
     * first_layer and end_layer say. */
    const char *layers;
} winnow_worker_config;

/* Fills in the defaults and the size, which is sizeof(winnow_worker_config). Takes NULL; no byte beyond the size is
 * written, and none beyond the struct as the library knows it. */
WINNOW_PUBLIC void winnow_worker_config_init(winnow_worker_config *config, size_t struct_size);

/* ---- A worker's life ------------------------------------------------------------------------------------------------ */

/* The name of a worker. */
typedef struct winnow_worker winnow_worker;

/* Opens the model's files and a socket for the stage before; weights are loaded once the coordinator has assigned layers.
 * On success *worker is a new worker, to be destroyed; else NULL. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_create(
    const winnow_worker_config *config, winnow_worker **worker);

/* Starts the worker's threads and returns. Once per worker. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_start(winnow_worker *worker);

/* Asks the coordinator to give this worker's requests to others; the worker then ends, in ten seconds at the most. Called
 * again it ends at once. Returns at once, before that has happened. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_drain(winnow_worker *worker);

/* Ends the worker at once; requests under way are computed again elsewhere. Returns before that has happened. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_stop(winnow_worker *worker);

/* Waits until the worker has ended and its threads are gone, for timeout_ms milliseconds at the most; negative: for as long
 * as it takes; 0: just looks. NULL: it ended in order. WINNOW_TIMEOUT: it has not ended. WINNOW_MISUSE: not started. Other
 * codes: why it ended. May be called again. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_wait(winnow_worker *worker, int64_t timeout_ms);

/* Ends the worker at once if it runs, waits for its threads, and lets go of all it has. Takes NULL. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_destroy(winnow_worker *worker);

/* ---- What a worker has ---------------------------------------------------------------------------------------------- */

/* A file descriptor for your own poll, epoll or event loop: readable while events wait to be taken, the last of them
 * WINNOW_EVENT_ENDED. Do not read from it or close it. Good until the worker is destroyed. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_descriptor(winnow_worker *worker, int *descriptor);

/* Takes the oldest event that waits; waits for none. *is_event is 1 if there was one, and 0 if not. Set event->struct_size
 * before. Of events that nobody takes the newest 256 are kept. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_next_event(
    winnow_worker *worker, winnow_event *event, int *is_event);

typedef int32_t winnow_phase;
enum {
    /* No coordinator has answered. */
    WINNOW_PHASE_WAITING = 0,
    /* A coordinator answers; no place is given. */
    WINNOW_PHASE_REGISTERED = 1,
    /* Weights are being loaded. */
    WINNOW_PHASE_LOADING = 2,
    /* The next neighbour is not reached yet. */
    WINNOW_PHASE_LINKING = 3,
    WINNOW_PHASE_READY = 4,
    /* The assignment can't be served any further. */
    WINNOW_PHASE_FAULTY = 5,
    /* Wants to be relieved, and still serves. */
    WINNOW_PHASE_DRAINING = 6,
    WINNOW_PHASE_ENDED = 7
};

typedef struct winnow_worker_snapshot {
    size_t struct_size;
    winnow_phase phase;
    /* The place in the pipeline, -1: none; and how many there are. */
    int32_t stage;
    int32_t stage_count;
    /* The layers whose weights are held, first and one past the last, of both perhaps a part; -1, -1: none. */
    int32_t first_layer;
    int32_t end_layer;
    /* Requests held. */
    int32_t requests;
    /* Of weights being loaded, how much is there, 0 to 1. */
    double loaded_fraction;
    /* Tokens' worth of KV cache: reserved by requests, and in all. */
    int64_t kv_tokens_used;
    int64_t kv_tokens;
    /* Since the worker was made: micro-batches or prompts, token rows, nanoseconds of computing. */
    uint64_t messages;
    uint64_t rows;
    uint64_t busy_ns;
    /* Over the last ten seconds: rows a second, and the share of the time spent computing, 0 to 1. */
    double rows_per_second;
    double busy_share;
} winnow_worker_snapshot;

/* Fills in how the worker stands at this moment. Set snapshot->struct_size before. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_get_snapshot(
    winnow_worker *worker, winnow_worker_snapshot *snapshot);

/* Where the stage before this one connects, as other hosts are told it; good until the worker is destroyed. */
WINNOW_PUBLIC WINNOW_MUST_CHECK winnow_status *winnow_worker_endpoint(winnow_worker *worker, const char **endpoint);

#ifdef __cplusplus
}
#endif
#endif
