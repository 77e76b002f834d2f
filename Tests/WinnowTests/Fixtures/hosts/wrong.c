/* Arguments that are wrong, to every function: each gets its status, and none a signal.
 *
 *     wrong MODEL OTHER-FILE      (a model, and a file that is none)
 */
#include <winnow_worker.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int problems;

/* What a call must come to: a code, and a word in its message. */
static void expect(const char *what, winnow_status *status, winnow_code code, const char *word) {
    if (winnow_status_code(status) != code || strstr(winnow_status_message(status), word) == NULL) {
        printf("%s: expected %d with '%s', got %d: %s\n", what, code, word, winnow_status_code(status),
            winnow_status_message(status));
        problems++;
    }
    winnow_status_release(status);
}

/* Sizes of the first version's structs. */
enum { first_config = offsetof(winnow_worker_config, layers), first_event = offsetof(winnow_event, layers) };

static winnow_worker_config made(const char *model) {
    winnow_worker_config config;
    winnow_worker_config_init(&config, sizeof config);
    config.model = model;
    config.coordinator = "tcp://127.0.0.1:9";
    return config;
}

static void expect_create(const char *what, winnow_worker_config config, winnow_code code, const char *word) {
    winnow_worker *worker = (winnow_worker *)16;
    expect(what, winnow_worker_create(&config, &worker), code, word);
    if (worker != NULL) {
        printf("%s: a worker in spite of the error\n", what);
        problems++;
    }
}

static void in_callback(const winnow_event *event, void *user_data) {
    winnow_worker *worker = *(winnow_worker **)user_data;
    if (event->kind != WINNOW_EVENT_ENDED) return;
    expect("wait in a callback", winnow_worker_wait(worker, -1), WINNOW_MISUSE, "inside a callback");
    expect("destroy in a callback", winnow_worker_destroy(worker), WINNOW_MISUSE, "inside a callback");
    winnow_worker_snapshot snapshot = {.struct_size = sizeof snapshot};
    expect("snapshot in a callback", winnow_worker_get_snapshot(worker, &snapshot), WINNOW_OK, "ok");
}

static void *destroying(void *worker) {
    expect("destroy beside start", winnow_worker_destroy(worker), WINNOW_OK, "ok");
    return NULL;
}

/* One thread starts a worker, another destroys it: whoever is first, nothing is left and nothing is called afterwards. */
static void race(winnow_worker_config config) {
    for (int i = 0; i < 20; i++) {
        winnow_worker *worker = NULL;
        expect("create", winnow_worker_create(&config, &worker), WINNOW_OK, "ok");
        pthread_t thread;
        if (pthread_create(&thread, NULL, destroying, worker) != 0) exit(70);
        winnow_status *status = winnow_worker_start(worker);
        if (status != NULL && winnow_status_code(status) != WINNOW_INVALID_HANDLE) {
            printf("start beside destroy: %s\n", winnow_status_message(status));
            problems++;
        }
        winnow_status_release(status);
        pthread_join(thread, NULL);
    }
}

int main(int count, char **words) {
    if (count != 3) return 64;
    const char *model = words[1];
    winnow_worker *none = NULL, *worker = NULL;
    winnow_worker_config config = made(model);

    winnow_status_release(NULL);
    expect("NULL status", NULL, WINNOW_OK, "ok");
    winnow_worker_config_init(NULL, 8);
    unsigned char little[16];
    memset(little, 0x5a, sizeof little);
    winnow_worker_config_init((winnow_worker_config *)(void *)little, 8);
    for (size_t i = 8; i < sizeof little; i++)
        if (little[i] != 0x5a) {
            printf("init wrote beyond the size\n");
            problems++;
            break;
        }
    winnow_worker_config_init(&config, 0);
    winnow_worker_config_init(&config, (size_t)-1);
    expect_create("init with no size", config, WINNOW_INVALID_ARGUMENT, "struct_size");
    config = made(model);

    expect("create NULL", winnow_worker_create(NULL, &worker), WINNOW_INVALID_ARGUMENT, "config");
    expect("create into NULL", winnow_worker_create(&config, NULL), WINNOW_INVALID_ARGUMENT, "worker");
    config.struct_size = 8;
    expect_create("small size", config, WINNOW_INVALID_ARGUMENT, "struct_size");
    const size_t sizes[] = {0, 1, first_config - 1, 65537, (size_t)1 << 63, (size_t)-1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        config.struct_size = sizes[i];
        expect_create("no size", config, WINNOW_INVALID_ARGUMENT, "struct_size");
    }
    /* Programs of the first version, and of none: what lies beyond their struct, and half a field, is not looked at. */
    for (size_t size = first_config; size < sizeof config; size++) {
        config = made(model);
        config.struct_size = size;
        memset(&config.layers, 0x5a, sizeof config.layers);
        expect("create by the first version", winnow_worker_create(&config, &worker), WINNOW_OK, "ok");
        expect("destroy", winnow_worker_destroy(worker), WINNOW_OK, "ok");
    }
#define WITH(field, value, code, word)         \
    do {                                       \
        config = made(model);                  \
        config.field = value;                  \
        expect_create(#field, config, code, word); \
    } while (0)
    WITH(model, NULL, WINNOW_INVALID_ARGUMENT, "model");
    WITH(model, "", WINNOW_BAD_CONFIGURATION, "model");
    WITH(model, "\xff\xfe", WINNOW_INVALID_ARGUMENT, "model");
    WITH(model, "/nonexistent", WINNOW_BAD_MODEL, "/nonexistent");
    WITH(model, words[2], WINNOW_BAD_MODEL, words[2]);
    WITH(coordinator, NULL, WINNOW_INVALID_ARGUMENT, "coordinator");
    WITH(coordinator, "nowhere", WINNOW_BAD_CONFIGURATION, "coordinator");
    WITH(coordinator, "tcp://10.1.2.3:5700", WINNOW_BAD_CONFIGURATION, "coordinator");
    WITH(listen, "tcp://", WINNOW_BAD_CONFIGURATION, "listen");
    WITH(listen, "tcp://127.0.0.1:99999", WINNOW_BAD_CONFIGURATION, "listen");
    WITH(listen, "tcp://0.0.0.0:*", WINNOW_BAD_CONFIGURATION, "listen");
    WITH(role, 7, WINNOW_INVALID_ARGUMENT, "role");
    WITH(precision, -1, WINNOW_INVALID_ARGUMENT, "precision");
    WITH(first_layer, 2, WINNOW_INVALID_ARGUMENT, "first_layer");
    config = made(model);
    config.first_layer = 2, config.end_layer = 1000;
    expect_create("unknown layers", config, WINNOW_BAD_CONFIGURATION, "layers");
    config = made(model);
    config.first_layer = INT32_MIN, config.end_layer = INT32_MAX;
    expect_create("layers before the first", config, WINNOW_INVALID_ARGUMENT, "first_layer");
    config.first_layer = 0;
    expect_create("layers beyond any", config, WINNOW_BAD_CONFIGURATION, "layers");
    config.end_layer = 1, config.layers = "0";
    expect_create("layers said twice", config, WINNOW_INVALID_ARGUMENT, "layers");
    const char *const no_layers[] = {"", "-", "none", "a", "3-1", "0-7b", "0-", "-1", "7f34-7f34", "0-2f100", "0 -2", "+1",
        "99999999999999999999", "0-1048576"};
    for (size_t i = 0; i < sizeof no_layers / sizeof *no_layers; i++)
        WITH(layers, no_layers[i], WINNOW_BAD_CONFIGURATION, "layers: must be");
    WITH(layers, "2-7a", WINNOW_BAD_CONFIGURATION, "layers");
    WITH(layers, "\xff", WINNOW_INVALID_ARGUMENT, "layers");
    WITH(threads, 0, WINNOW_BAD_CONFIGURATION, "threads");
    WITH(threads, 1 << 30, WINNOW_BAD_CONFIGURATION, "threads");
    WITH(threads, INT32_MIN, WINNOW_BAD_CONFIGURATION, "threads");
    WITH(cpu_count, 3, WINNOW_INVALID_ARGUMENT, "cpus");
    WITH(cpu_count, 1025, WINNOW_INVALID_ARGUMENT, "cpu_count");
    WITH(cpu_count, (size_t)-1, WINNOW_INVALID_ARGUMENT, "cpu_count");
    const int32_t cpus[] = {-4};
    config = made(model);
    config.cpus = cpus, config.cpu_count = 1;
    expect_create("cpus", config, WINNOW_BAD_CONFIGURATION, "cpus");
    WITH(kv_tokens, -1, WINNOW_INVALID_ARGUMENT, "kv_tokens");
    WITH(kv_tokens, INT64_MAX, WINNOW_NO_MEMORY, "KV cache");
    WITH(kv_tokens, (int64_t)1 << 44, WINNOW_NO_MEMORY, "KV cache");
    WITH(kv_tokens, INT64_MIN, WINNOW_INVALID_ARGUMENT, "kv_tokens");
    WITH(name, "", WINNOW_BAD_CONFIGURATION, "name");
    WITH(name, "\xc3", WINNOW_INVALID_ARGUMENT, "name");
    char long_text[300];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    WITH(name, long_text, WINNOW_BAD_CONFIGURATION, "name");
    WITH(model, long_text, WINNOW_BAD_MODEL, long_text);
    WITH(coordinator, "tcp://127.0.0.1", WINNOW_BAD_CONFIGURATION, "coordinator");
    WITH(coordinator, "ipc://", WINNOW_BAD_CONFIGURATION, "coordinator");
    memcpy(long_text, "ipc:///", 7);
    WITH(coordinator, long_text, WINNOW_BAD_CONFIGURATION, "coordinator");
    WITH(listen, long_text, WINNOW_BAD_CONFIGURATION, "listen");
    WITH(listen, "ipc:///nonexistent/socket", WINNOW_TRANSPORT, "/nonexistent/socket");
    /* Who listens for every interface must be known by some name. */
    config = made(model);
    config.insecure = 1, config.listen = "tcp://0.0.0.0:*", config.advertised_host = "";
    expect_create("advertised as nothing", config, WINNOW_BAD_CONFIGURATION, "listen");
    config.advertised_host = "two words";
    expect_create("advertised as no host", config, WINNOW_BAD_CONFIGURATION, "listen");
    /* Files that are none: a directory without a model, what never ends, what nobody writes to, what can't be opened. */
    char pipe_path[] = "/tmp/winnow-host-XXXXXX", inside[sizeof pipe_path + 16];
    if (mkdtemp(pipe_path) == NULL) return 70;
    snprintf(inside, sizeof inside, "%s/pipe", pipe_path);
    if (mkfifo(inside, 0600) != 0) return 70;
    WITH(model, pipe_path, WINNOW_BAD_MODEL, pipe_path);
    WITH(model, inside, WINNOW_BAD_MODEL, inside);
    WITH(key_file, inside, WINNOW_BAD_KEY, inside);
    unlink(inside);
    snprintf(inside, sizeof inside, "%s/config.json", pipe_path);
    if (mkfifo(inside, 0600) != 0) return 70;
    WITH(model, pipe_path, WINNOW_BAD_MODEL, inside);
    unlink(inside);
    rmdir(pipe_path);
    const char *const endless[] = {"/dev/zero", "/dev/null", "/proc/self/mem", "/", "/proc"};
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        WITH(model, endless[i], WINNOW_BAD_MODEL, endless[i]);
        WITH(key_file, endless[i], WINNOW_BAD_KEY, endless[i]);
    }
    WITH(key_file, "", WINNOW_BAD_KEY, "");
    WITH(key_file, model, WINNOW_BAD_KEY, model);
    WITH(key_file, words[2], WINNOW_BAD_KEY, words[2]);
    WITH(log_level, 9, WINNOW_INVALID_ARGUMENT, "log_level");
    WITH(log_level, INT32_MIN, WINNOW_INVALID_ARGUMENT, "log_level");
    WITH(role, INT32_MIN, WINNOW_INVALID_ARGUMENT, "role");
    WITH(precision, INT32_MAX, WINNOW_INVALID_ARGUMENT, "precision");

    int number = 0;
    const char *text = NULL;
    winnow_event event = {.struct_size = sizeof event};
    winnow_worker_snapshot snapshot = {.struct_size = sizeof snapshot};
    winnow_worker *const strange[] = {NULL, (winnow_worker *)1, (winnow_worker *)16,
        (winnow_worker *)(void *)&config, (winnow_worker *)UINTPTR_MAX, (winnow_worker *)((uintptr_t)1 << 63)};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        const winnow_code code = strange[i] == NULL ? WINNOW_INVALID_ARGUMENT : WINNOW_INVALID_HANDLE;
        expect("start", winnow_worker_start(strange[i]), code, "worker");
        expect("drain", winnow_worker_drain(strange[i]), code, "worker");
        expect("stop", winnow_worker_stop(strange[i]), code, "worker");
        expect("wait", winnow_worker_wait(strange[i], 0), code, "worker");
        expect("descriptor", winnow_worker_descriptor(strange[i], &number), code, "worker");
        expect("next event", winnow_worker_next_event(strange[i], &event, &number), code, "worker");
        expect("snapshot", winnow_worker_get_snapshot(strange[i], &snapshot), code, "worker");
        expect("endpoint", winnow_worker_endpoint(strange[i], &text), code, "worker");
        if (strange[i] != NULL) expect("destroy", winnow_worker_destroy(strange[i]), code, "worker");
    }
    expect("destroy NULL", winnow_worker_destroy(none), WINNOW_OK, "ok");

    /* Ended in each way before it was started; then it is destroyed, or started. */
    for (int i = 0; i < 8; i++) {
        config = made(model);
        expect("create", winnow_worker_create(&config, &worker), WINNOW_OK, "ok");
        if (i & 1) expect("drain unstarted", winnow_worker_drain(worker), WINNOW_OK, "ok");
        if (i & 2) expect("stop unstarted", winnow_worker_stop(worker), WINNOW_OK, "ok");
        if ((i & 4) && (i & 3)) {
            expect("start the ended", winnow_worker_start(worker), WINNOW_OK, "ok");
            expect("wait for the ended", winnow_worker_wait(worker, INT64_MAX), WINNOW_OK, "ok");
        }
        expect("destroy", winnow_worker_destroy(worker), WINNOW_OK, "ok");
    }

    config = made(model);
    config.on_event = in_callback;
    config.event_user_data = &worker;
    expect("create", winnow_worker_create(&config, &worker), WINNOW_OK, "ok");
    expect("wait before start", winnow_worker_wait(worker, 0), WINNOW_MISUSE, "not started");
    expect("descriptor into NULL", winnow_worker_descriptor(worker, NULL), WINNOW_INVALID_ARGUMENT, "descriptor");
    expect("event into NULL", winnow_worker_next_event(worker, NULL, &number), WINNOW_INVALID_ARGUMENT, "event");
    expect("event without flag", winnow_worker_next_event(worker, &event, NULL), WINNOW_INVALID_ARGUMENT, "is_event");
    event.struct_size = 4;
    expect("small event", winnow_worker_next_event(worker, &event, &number), WINNOW_INVALID_ARGUMENT, "struct_size");
    event.struct_size = (size_t)-1;
    expect("event of no size", winnow_worker_next_event(worker, &event, &number), WINNOW_INVALID_ARGUMENT, "struct_size");
    snapshot.struct_size = (size_t)-1;
    expect("snapshot of no size", winnow_worker_get_snapshot(worker, &snapshot), WINNOW_INVALID_ARGUMENT, "struct_size");
    snapshot.struct_size = 0;
    expect("small snapshot", winnow_worker_get_snapshot(worker, &snapshot), WINNOW_INVALID_ARGUMENT, "struct_size");
    expect("snapshot NULL", winnow_worker_get_snapshot(worker, NULL), WINNOW_INVALID_ARGUMENT, "snapshot");
    expect("endpoint NULL", winnow_worker_endpoint(worker, NULL), WINNOW_INVALID_ARGUMENT, "endpoint");
    expect("endpoint", winnow_worker_endpoint(worker, &text), WINNOW_OK, "ok");
    if (text == NULL || strncmp(text, "tcp://127.0.0.1:", 16) != 0) {
        printf("endpoint: %s\n", text == NULL ? "NULL" : text);
        problems++;
    }
    expect("start", winnow_worker_start(worker), WINNOW_OK, "ok");
    expect("start again", winnow_worker_start(worker), WINNOW_MISUSE, "started before");
    expect("wait a moment", winnow_worker_wait(worker, 10), WINNOW_TIMEOUT, "not ended");
    expect("stop", winnow_worker_stop(worker), WINNOW_OK, "ok");
    expect("wait", winnow_worker_wait(worker, -1), WINNOW_OK, "ok");
    expect("wait again", winnow_worker_wait(worker, 0), WINNOW_OK, "ok");
    expect("wait backwards", winnow_worker_wait(worker, INT64_MIN), WINNOW_OK, "ok");
    expect("start the ended again", winnow_worker_start(worker), WINNOW_MISUSE, "started before");
    /* The end as a program of the first version takes it: nothing is written beyond its struct. */
    event.struct_size = first_event;
    memset(&event.layers, 0x5a, sizeof event.layers);
    const char *const untouched = event.layers;
    expect("event of the first version", winnow_worker_next_event(worker, &event, &number), WINNOW_OK, "ok");
    if (number != 1 || event.kind != WINNOW_EVENT_ENDED || event.text[0] != '\0' || event.layers != untouched) {
        printf("event of the first version: %d, kind %d\n", number, event.kind);
        problems++;
    }
    expect("stop after the end", winnow_worker_stop(worker), WINNOW_OK, "ok");
    expect("destroy", winnow_worker_destroy(worker), WINNOW_OK, "ok");
    expect("destroy again", winnow_worker_destroy(worker), WINNOW_INVALID_HANDLE, "destroyed");
    expect("wait after destroy", winnow_worker_wait(worker, -1), WINNOW_INVALID_HANDLE, "destroyed");
    race(made(model));
    printf("%d problems\n", problems);
    return problems > 0;
}
