/* What the library is made of in C; not installed. */
#ifndef WINNOW_WORKER_PARTS_H
#define WINNOW_WORKER_PARTS_H

#include "winnow_worker.h"

struct winnow_status {
    winnow_code code;
    char message[];
};

/* A status with a copy of the message; where there is no memory for it, one that says so. */
winnow_status *winnow_parts_status(winnow_code code, const char *message);

/* An eventfd of non-blocking reads; negative if there is none. */
int winnow_parts_descriptor(void);
void winnow_parts_signal(int descriptor);
void winnow_parts_clear(int descriptor);

/* Whether this thread is inside a callback of the host, and that it is or no longer is. */
int winnow_parts_in_callback(void);
void winnow_parts_enter_callback(int by);

#endif
