#include "openblas_loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "level.h"

static winnow_openblas loaded;
static char problem[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *what, const char *detail) {
    snprintf(problem, sizeof problem, "%s: %s", what, detail ? detail : "unknown reason");
    loaded.sgemm = NULL;
    loaded.core = NULL;
    loaded.problem = problem;
}

// The kernels to ask for, or null to leave the choice to the library or the environment. Versions that do not know a CPU
// fall back to AVX2 kernels, which run at half the speed of AVX-512.
static const char *core_to_ask_for(void) {
#if defined(__x86_64__)
    winnow_level level = winnow_level_in_use();
    if (winnow_level_is_capped())
        return level >= winnow_level_avx512 ? "SkylakeX" : level >= winnow_level_avx2 ? "Haswell" : "Prescott";
    if (getenv("OPENBLAS_CORETYPE") == NULL && level >= winnow_level_avx512) return "SkylakeX";
#endif
    return NULL;
}

static void load(void) {
    // The library reads both variables while it is being loaded. For child processes they are as before.
    const char *ask_core = core_to_ask_for(), *set_core = getenv("OPENBLAS_CORETYPE");
    char *before = set_core != NULL ? strdup(set_core) : NULL;
    int ask_threads = getenv("OPENBLAS_NUM_THREADS") == NULL;
    if (ask_core != NULL) setenv("OPENBLAS_CORETYPE", ask_core, 1);
    if (ask_threads) setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (before != NULL) setenv("OPENBLAS_CORETYPE", before, 1);
    else if (ask_core != NULL) unsetenv("OPENBLAS_CORETYPE");
    free(before);
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
