#include "openblas_loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static winnow_openblas loaded;
static char problem[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *what, const char *detail) {
    snprintf(problem, sizeof problem, "%s: %s", what, detail ? detail : "unknown reason");
    loaded.sgemm = NULL;
    loaded.core = NULL;
    loaded.problem = problem;
}

static int has_avx512(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

static void load(void) {
    // The library reads both variables while it is being loaded. Neither stays behind for child processes.
    int ask_core = getenv("OPENBLAS_CORETYPE") == NULL && has_avx512();
    int ask_threads = getenv("OPENBLAS_NUM_THREADS") == NULL;
    if (ask_core) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    if (ask_threads) setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (ask_core) unsetenv("OPENBLAS_CORETYPE");
    if (ask_threads) unsetenv("OPENBLAS_NUM_THREADS");
    if (library == NULL) {
        fail("libopenblas.so.0 cannot be loaded (Debian: apt-get install libopenblas0-pthread)", dlerror());
        return;
    }

    winnow_sgemm_function sgemm = (winnow_sgemm_function)dlsym(library, "cblas_sgemm");
    void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
    char *(*core)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
    if (sgemm == NULL || set_threads == NULL || core == NULL) {
        fail("libopenblas.so.0 lacks cblas_sgemm, openblas_set_num_threads or openblas_get_corename", dlerror());
        return;
    }
    set_threads(1);
    loaded.sgemm = sgemm;
    loaded.core = core();
}

const winnow_openblas *winnow_openblas_load(void) {
    pthread_once(&once, load);
    return &loaded;
}
