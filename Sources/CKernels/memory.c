// Memory for weights, in large pages where it is worth it.
#define _GNU_SOURCE
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static const size_t page = (size_t)2 << 20;

static size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Pages that were touched before stay small, so large blocks come fresh from the system, not from what was freed.
static void *map(size_t bytes) {
    char *memory = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    const size_t before = (page - (uintptr_t)memory % page) % page;
    if (before > 0) munmap(memory, before);
    munmap(memory + before + bytes, page - before);
#ifdef MADV_HUGEPAGE
    // A wish: a system without large pages gives small ones.
    madvise(memory + before, bytes, MADV_HUGEPAGE);
#endif
    return memory + before;
}

void *winnow_memory(size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    if (bytes >= page) return map(rounded(bytes, page));
    return aligned_alloc(64, rounded(bytes > 0 ? bytes : 1, 64));
}

void winnow_memory_free(void *memory, size_t bytes) {
    if (memory != NULL && bytes >= page) munmap(memory, rounded(bytes, page));
    else free(memory);
}
