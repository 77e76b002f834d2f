// Ends a process that asks for over WINNOW_FUZZ_PIECE bytes in one piece. scripts/fuzz.sh loads it before a harness: without a
// sanitizer that counts them, libFuzzer sees no allocation, only what the process has touched in all.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static size_t largest = (size_t)-1;

__attribute__((constructor)) static void set(void) {
    const char *text = getenv("WINNOW_FUZZ_PIECE");
    if (text != NULL) largest = strtoull(text, NULL, 10);
}

static void check(size_t size) {
    if (size <= largest) return;
    size_t bound = largest;
    largest = (size_t)-1;
    fprintf(stderr, "Tests/Fuzz/bound.c: %zu bytes in one piece, at most %zu are allowed\n", size, bound);
    // libFuzzer writes the input down.
    abort();
}

void *malloc(size_t size) {
    check(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    size_t all;
    if (!__builtin_mul_overflow(count, size, &all)) check(all);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    check(size);
    return __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, all);
}

void *memalign(size_t alignment, size_t size) {
    check(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *memory = memalign(alignment, size);
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}
