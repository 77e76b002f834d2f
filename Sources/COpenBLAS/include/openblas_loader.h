// OpenBLAS, loaded at run time so that the right kernels can be asked for before it looks at the CPU.
#ifndef WINNOW_OPENBLAS_LOADER_H
#define WINNOW_OPENBLAS_LOADER_H

// CBLAS's values.
enum { winnow_row_major = 101, winnow_no_transpose = 111, winnow_transpose = 112 };

typedef void (*winnow_sgemm_function)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                                      const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

typedef struct {
    // cblas_sgemm, or null when the library could not be used.
    winnow_sgemm_function sgemm;
    // The name of the kernels that run ("SkylakeX", "Haswell", ...), or null.
    const char *core;
    // Why `sgemm` is null, or null.
    const char *problem;
} winnow_openblas;

// Loads libopenblas.so.0 at the first call, with one thread of its own. With AVX-512 it is asked for its SkylakeX kernels
// unless the environment names others (OPENBLAS_CORETYPE); where the level is capped, for those of the cap, whatever the
// environment says. Any thread may call; all get the same answer.
const winnow_openblas *winnow_openblas_load(void);

#endif
