/* Arguments that are wrong, to every function: each gets its status, and none a signal.
 *
 *     wrong MODEL OTHER-FILE      (a model, and a file that is none)
 */
#include <winnow_worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

    expect("create NULL", winnow_worker_create(NULL, &worker), WINNOW_INVALID_ARGUMENT, "config");
    expect("create into NULL", winnow_worker_create(&config, NULL), WINNOW_INVALID_ARGUMENT, "worker");
    config.struct_size = 8;
    expect_create("small size", config, WINNOW_INVALID_ARGUMENT, "struct_size");
    config.struct_size = (size_t)-1;
    expect_create("no size", config, WINNOW_INVALID_ARGUMENT, "struct_size");
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
    WITH(threads, 0, WINNOW_BAD_CONFIGURATION, "threads");
    WITH(threads, 1 << 30, WINNOW_BAD_CONFIGURATION, "threads");
    WITH(cpu_count, 3, WINNOW_INVALID_ARGUMENT, "cpus");
    const int32_t cpus[] = {-4};
    config = made(model);
    config.cpus = cpus, config.cpu_count = 1;
    expect_create("cpus", config, WINNOW_BAD_CONFIGURATION, "cpus");
    WITH(kv_tokens, -1, WINNOW_INVALID_ARGUMENT, "kv_tokens");
    WITH(kv_tokens, INT64_MAX, WINNOW_NO_MEMORY, "KV cache");
    WITH(kv_tokens, (int64_t)1 << 44, WINNOW_NO_MEMORY, "KV cache");
    WITH(name, "", WINNOW_BAD_CONFIGURATION, "name");
    WITH(key_file, "/nonexistent", WINNOW_BAD_KEY, "/nonexistent");
    WITH(log_level, 9, WINNOW_INVALID_ARGUMENT, "log_level");

    int number = 0;
    const char *text = NULL;
    winnow_event event = {.struct_size = sizeof event};
    winnow_worker_snapshot snapshot = {.struct_size = sizeof snapshot};
    winnow_worker *const strange[] = {NULL, (winnow_worker *)1, (winnow_worker *)(void *)&config};
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
    expect("stop after the end", winnow_worker_stop(worker), WINNOW_OK, "ok");
    expect("destroy", winnow_worker_destroy(worker), WINNOW_OK, "ok");
    expect("destroy again", winnow_worker_destroy(worker), WINNOW_INVALID_HANDLE, "destroyed");
    expect("wait after destroy", winnow_worker_wait(worker, -1), WINNOW_INVALID_HANDLE, "destroyed");
    printf("%d problems\n", problems);
    return problems > 0;
}
