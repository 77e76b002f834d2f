// Memory for weights.
#ifndef WINNOW_MEMORY_H
#define WINNOW_MEMORY_H

#include <stddef.h>

// At least `bytes` bytes, 64-byte aligned, to be given back with free; null without memory. What is large lies in large
// pages where the system has them: a core then reads it up to a third faster.
void *winnow_memory(size_t bytes);

#endif
