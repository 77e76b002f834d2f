// Status objects, and the descriptor that a host's own loop polls.
#include "winnow_worker_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static union {
    winnow_status status;
    char bytes[64];
} no_memory = {.bytes = {0}};

winnow_status *winnow_parts_status(winnow_code code, const char *message) {
    const size_t length = strlen(message);
    winnow_status *status = malloc(sizeof *status + length + 1);
    if (status == NULL) {
        // Every thread writes the same.
        no_memory.status.code = WINNOW_NO_MEMORY;
        memcpy(no_memory.status.message, "no memory", sizeof "no memory");
        return &no_memory.status;
    }
    status->code = code;
    memcpy(status->message, message, length + 1);
    return status;
}

winnow_code winnow_status_code(const winnow_status *status) { return status == NULL ? WINNOW_OK : status->code; }

const char *winnow_status_message(const winnow_status *status) { return status == NULL ? "ok" : status->message; }

void winnow_status_release(winnow_status *status) {
    if (status != &no_memory.status) free(status);
}

int winnow_parts_descriptor(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void winnow_parts_signal(int descriptor) {
    const uint64_t one = 1;
    // A full counter is readable all the same.
    const ssize_t written = write(descriptor, &one, sizeof one);
    (void)written;
}

void winnow_parts_clear(int descriptor) {
    uint64_t count;
    const ssize_t taken = read(descriptor, &count, sizeof count);
    (void)taken;
}

static _Thread_local int callbacks;

int winnow_parts_in_callback(void) { return callbacks > 0; }

void winnow_parts_enter_callback(int by) { callbacks += by; }
