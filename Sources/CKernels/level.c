// Which instruction set computes: what the CPU has, and the cap on it.
#include "level.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[winnow_levels] = {
    [winnow_level_reference] = "portable",         [winnow_level_avx2] = "avx2",
    [winnow_level_avx512] = "avx512",              [winnow_level_avx512_vnni] = "avx512vnni",
    [winnow_level_avx512_bf16] = "avx512bf16",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static winnow_level in_use;
static int is_decided, is_capped;

winnow_level winnow_cpu_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
        return winnow_level_reference;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return winnow_level_avx2;
    if (!__builtin_cpu_supports("avx512vnni")) return winnow_level_avx512;
    return __builtin_cpu_supports("avx512bf16") ? winnow_level_avx512_bf16 : winnow_level_avx512_vnni;
#else
    return winnow_level_reference;
#endif
}

int winnow_level_of_environment(winnow_level *level) {
    const char *text = getenv("WINNOW_CPU_LEVEL");
    if (text == NULL || text[0] == '\0') return 1;
    for (int i = 0; i < winnow_levels; i++)
        if (strcmp(text, names[i]) == 0) {
            *level = (winnow_level)i;
            return 0;
        }
    return -1;
}

// Under the lock.
static void decide(void) {
    if (is_decided) return;
    winnow_level best = winnow_cpu_level(), asked = best;
    is_capped = winnow_level_of_environment(&asked) == 0 && asked <= best;
    in_use = is_capped ? asked : best;
    is_decided = 1;
}

winnow_level winnow_level_in_use(void) {
    pthread_mutex_lock(&lock);
    decide();
    winnow_level level = in_use;
    pthread_mutex_unlock(&lock);
    return level;
}

int winnow_level_is_capped(void) {
    pthread_mutex_lock(&lock);
    decide();
    int answer = is_capped;
    pthread_mutex_unlock(&lock);
    return answer;
}

int winnow_level_cap(winnow_level level) {
    if (level < winnow_level_reference || level > winnow_cpu_level()) return -1;
    pthread_mutex_lock(&lock);
    int fits = !is_decided || in_use == level;
    if (!is_decided) {
        in_use = level;
        is_capped = 1;
        is_decided = 1;
    }
    pthread_mutex_unlock(&lock);
    return fits ? 0 : -1;
}

const char *winnow_level_name(winnow_level level) {
    return level >= winnow_level_reference && level < winnow_levels ? names[level] : "";
}
