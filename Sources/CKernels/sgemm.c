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
    float values[16], sum = 0;
    memcpy(values, value, sizeof values);
    for (int i = 0; i < 16; i++) sum += values[i];
    return sum;
}

// `rows` rows of A by `columns` rows of B, at most four each. Both are constants in every use, so that the sums stay in
// registers.
WINNOW_BODY void few_tile(int rows, int columns, size_t k, float alpha, const float *a, size_t lda, const float *b,
                          size_t ldb, float beta, float *c, size_t ldc) {
    lanes acc[4][4] = {0};
    size_t p = 0;
    for (; p + 16 <= k; p += 16) {
        lanes weights[4];
#pragma clang loop unroll(full)
        for (int j = 0; j < columns; j++) weights[j] = LANES(b + (size_t)j * ldb + p);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            lanes value = LANES(a + (size_t)r * lda + p);
#pragma clang loop unroll(full)
            for (int j = 0; j < columns; j++) acc[r][j] += weights[j] * value;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++) {
            float sum = sum_of(&acc[r][j]);
            for (size_t q = p; q < k; q++) sum += a[(size_t)r * lda + q] * b[(size_t)j * ldb + q];
            float *to = c + (size_t)r * ldc + j;
            *to = alpha * sum + (beta == 0 ? 0 : beta * *to);
        }
}

WINNOW_BODY void few_rows(int rows, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                          size_t ldb, float beta, float *c, size_t ldc) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) few_tile(rows, 4, k, alpha, a, lda, b + j * ldb, ldb, beta, c + j, ldc);
    for (; j < n; j++) few_tile(rows, 1, k, alpha, a, lda, b + j * ldb, ldb, beta, c + j, ldc);
}

WINNOW_BODY void sgemm_few(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                           size_t ldb, float beta, float *c, size_t ldc) {
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
