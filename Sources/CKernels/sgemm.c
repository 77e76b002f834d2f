// Matrix products: a blocked one that needs no library, and one for a few rows that reads the weights in place.
#include "dispatch.h"

#include <string.h>

// Sixteen floats; the compiler splits them where registers are narrower.
typedef float lanes __attribute__((vector_size(64)));
// The same, anywhere in memory.
typedef float loose_lanes __attribute__((vector_size(64), aligned(4), may_alias));

#define LANES(from) (*(const loose_lanes *)(from))

enum { tile_rows = 6, tile_columns = 32, depth = 256 };

// acc[tile_rows][2] += A[tile_rows, depth_used] * panel[depth_used, 32]
WINNOW_BODY void multiply_tile(lanes acc[tile_rows][2], const float *const *a, const float *panel,
                               size_t depth_used) {
    for (size_t p = 0; p < depth_used; p++) {
        lanes low = LANES(panel + p * tile_columns), high = LANES(panel + p * tile_columns + 16);
#pragma clang loop unroll(full)
        for (int r = 0; r < tile_rows; r++) {
            float value = a[r][p];
            acc[r][0] += low * value;
            acc[r][1] += high * value;
        }
    }
}

WINNOW_BODY void pack_panel(float *panel, int transpose_b, const float *b, size_t ldb, size_t column, size_t columns,
                            size_t from, size_t depth_used) {
    memset(panel, 0, depth_used * tile_columns * sizeof *panel);
    for (size_t p = 0; p < depth_used; p++)
        for (size_t j = 0; j < columns; j++)
            panel[p * tile_columns + j] =
                transpose_b ? b[(column + j) * ldb + from + p] : b[(from + p) * ldb + column + j];
}

// Adds op(B) panel by panel: 32 columns by 256 of depth are packed (32 KiB), then every six rows of A pass over them.
WINNOW_BODY void sgemm(int transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                       const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    float panel[depth * tile_columns];
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) c[r * ldc + j] = beta == 0 ? 0 : beta * c[r * ldc + j];
    for (size_t column = 0; column < n; column += tile_columns) {
        size_t columns = n - column < tile_columns ? n - column : tile_columns;
        for (size_t from = 0; from < k; from += depth) {
            size_t depth_used = k - from < depth ? k - from : depth;
            pack_panel(panel, transpose_b, b, ldb, column, columns, from, depth_used);
            for (size_t row = 0; row < m; row += tile_rows) {
                size_t rows = m - row < tile_rows ? m - row : tile_rows;
                // Rows beyond the last repeat it; their results are dropped.
                const float *start[tile_rows];
                for (size_t r = 0; r < tile_rows; r++)
                    start[r] = a + (row + (r < rows ? r : rows - 1)) * lda + from;
                lanes acc[tile_rows][2] = {0};
                multiply_tile(acc, start, panel, depth_used);
                for (size_t r = 0; r < rows; r++) {
                    float values[tile_columns];
                    memcpy(values, acc[r], sizeof values);
                    for (size_t j = 0; j < columns; j++) c[(row + r) * ldc + column + j] += alpha * values[j];
                }
            }
        }
    }
}

#define SGEMM_PARAMETERS                                                                                              \
    (int transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb, \
     float beta, float *c, size_t ldc)
#define SGEMM_ARGUMENTS (transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
WINNOW_AVX512 static void winnow_sgemm_avx512 SGEMM_PARAMETERS { sgemm SGEMM_ARGUMENTS; }
WINNOW_AVX2 static void winnow_sgemm_avx2 SGEMM_PARAMETERS { sgemm SGEMM_ARGUMENTS; }
static void winnow_sgemm_reference SGEMM_PARAMETERS {
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t p = 0; p < k; p++)
                sum += (double)a[r * lda + p] * (transpose_b ? b[j * ldb + p] : b[p * ldb + j]);
            float *to = c + r * ldc + j;
            *to = (float)(alpha * sum + (beta == 0 ? 0 : (double)beta * *to));
        }
}
WINNOW_DISPATCH(winnow_sgemm,
                (winnow_level level, int transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a,
                 size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc),
                SGEMM_ARGUMENTS)

WINNOW_BODY float sum_of(const lanes *value) {
    typedef float half __attribute__((vector_size(32)));
    typedef float quarter __attribute__((vector_size(16)));
    half eight = __builtin_shufflevector(*value, *value, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(*value, *value, 8, 9, 10, 11, 12, 13, 14, 15);
    quarter four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

// One row of B at a time, so that memory is read in one direction. `rows`, at most four, is a constant in every use, so
// that the sums stay in registers; there are at least four of them, because each waits for its own last addition.
WINNOW_BODY void few_rows(int rows, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                          size_t ldb, float beta, float *c, size_t ldc) {
    const int chains = rows == 1 ? 4 : 2;
    const size_t step = (size_t)chains * 16;
    for (size_t j = 0; j < n; j++) {
        const float *weights = b + j * ldb;
        lanes acc[4][4] = {0};
        size_t p = 0;
        for (; p + step <= k; p += step) {
#pragma clang loop unroll(full)
            for (int i = 0; i < chains; i++) {
                lanes value = LANES(weights + p + 16 * i);
                // 4 KiB ahead: the CPU's own prefetching stops at pages.
                __builtin_prefetch(weights + p + 16 * i + 1024);
#pragma clang loop unroll(full)
                for (int r = 0; r < rows; r++) acc[r][i] += value * LANES(a + (size_t)r * lda + p + 16 * i);
            }
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            lanes both = (acc[r][0] + acc[r][1]) + (acc[r][2] + acc[r][3]);
            float sum = sum_of(&both);
            for (size_t q = p; q < k; q++) sum += a[(size_t)r * lda + q] * weights[q];
            float *to = c + (size_t)r * ldc + j;
            *to = alpha * sum + (beta == 0 ? 0 : beta * *to);
        }
    }
}

// One row of A with four rows of B at a time, one from each quarter of B: four streams of memory come faster than one.
WINNOW_BODY void single_row(size_t n, size_t k, float alpha, const float *a, const float *b, size_t ldb, float beta,
                            float *c) {
    enum { streams = 4 };
    const size_t quarter = n / streams;
    for (size_t j = 0; j < quarter; j++) {
        lanes acc[streams] = {0};
        size_t p = 0;
        for (; p + 16 <= k; p += 16) {
            lanes x = LANES(a + p);
#pragma clang loop unroll(full)
            for (int i = 0; i < streams; i++) acc[i] += x * LANES(b + ((size_t)i * quarter + j) * ldb + p);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < streams; i++) {
            const size_t column = (size_t)i * quarter + j;
            float sum = sum_of(&acc[i]);
            for (size_t q = p; q < k; q++) sum += a[q] * b[column * ldb + q];
            c[column] = alpha * sum + (beta == 0 ? 0 : beta * c[column]);
        }
    }
    const size_t done = streams * quarter;
    few_rows(1, n - done, k, alpha, a, 0, b + done * ldb, ldb, beta, c + done, 0);
}

WINNOW_BODY void sgemm_few(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                           size_t ldb, float beta, float *c, size_t ldc) {
    if (m == 1) {
        single_row(n, k, alpha, a, b, ldb, beta, c);
        return;
    }
    // Blocks of weight rows small enough to stay in the first cache while all rows of A pass over them.
    size_t block = 8192 / (k ? k : 1);
    block = block ? block : 1;
    for (size_t j = 0; j < n; j += block) {
        size_t columns = n - j < block ? n - j : block;
        const float *weights = b + j * ldb;
        for (size_t r = 0; r < m;) {
            const float *from = a + r * lda;
            float *to = c + r * ldc + j;
            size_t left = m - r;
            if (left >= 4) {
                few_rows(4, columns, k, alpha, from, lda, weights, ldb, beta, to, ldc);
                r += 4;
            } else if (left >= 2) {
                few_rows(2, columns, k, alpha, from, lda, weights, ldb, beta, to, ldc);
                r += 2;
            } else {
                few_rows(1, columns, k, alpha, from, lda, weights, ldb, beta, to, ldc);
                r += 1;
            }
        }
    }
}

#define FEW_PARAMETERS                                                                                        \
    (size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta, \
     float *c, size_t ldc)
#define FEW_ARGUMENTS (m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
WINNOW_AVX512 static void winnow_sgemm_few_avx512 FEW_PARAMETERS { sgemm_few FEW_ARGUMENTS; }
WINNOW_AVX2 static void winnow_sgemm_few_avx2 FEW_PARAMETERS { sgemm_few FEW_ARGUMENTS; }
static void winnow_sgemm_few_reference FEW_PARAMETERS {
    winnow_sgemm_reference(1, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
WINNOW_DISPATCH(winnow_sgemm_few,
                (winnow_level level, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                 const float *b, size_t ldb, float beta, float *c, size_t ldc),
                FEW_ARGUMENTS)
