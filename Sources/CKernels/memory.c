// Memory for weights, in large pages where it is worth it.
#define _GNU_SOURCE
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

void *winnow_memory(size_t bytes) {
    const size_t page = (size_t)2 << 20, line = 64;
    const size_t unit = bytes >= page ? page : line;
    void *memory = NULL;
    if (bytes > SIZE_MAX - page) return NULL;
    if (posix_memalign(&memory, unit, (bytes + line - 1) / line * line + (bytes == 0 ? line : 0)) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    // A wish: a system without large pages gives small ones.
    if (unit == page) madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
    return memory;
}
