// Memory for weights.
#ifndef WINNOW_MEMORY_H
#define WINNOW_MEMORY_H

#include <stddef.h>

// At least `bytes` bytes, 64-byte aligned, to be given back with winnow_memory_free; null without memory. 2 MiB and more lie
// in large pages where the system has them: a core then reads them half as fast again.
void *winnow_memory(size_t bytes);

// Gives back what winnow_memory gave for `bytes` bytes; null is fine.
void winnow_memory_free(void *memory, size_t bytes);

#endif
