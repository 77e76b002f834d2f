// The arithmetic between matrix products, in Float32. Every kernel has a plain reference and versions compiled for
// AVX2 and AVX-512, of which the level picks one at run time.
#ifndef WINNOW_KERNELS_H
#define WINNOW_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "level.h"

// out[r][c] = x[r][c] * weight[c] / sqrt(mean(x[r]^2) + epsilon), for rows of `columns` values.
void winnow_rms_norm(winnow_level level, const float *x, const float *weight, float epsilon, float *out, size_t rows,
                     size_t columns);

// Rotates `heads` heads of one row by the row's angles: with half = head_dim / 2,
// out[i] = x[i] cos[i] - x[i + half] sin[i], out[i + half] = x[i + half] cos[i] + x[i] sin[i].
// Head h is read at x + h * head_dim and written at out + h * out_stride; `out` may be `x` if the heads lie alike.
void winnow_rotate(winnow_level level, const float *x, const float *cosines, const float *sines, float *out,
                   size_t out_stride, size_t heads, size_t head_dim);

// out[r][c] = silu(gate[r][c]) * up[r][c]; rows of gates and of ups lie `stride` values apart, of the result `out_stride`.
void winnow_silu_multiply(winnow_level level, const float *gate, const float *up, size_t stride, float *out,
                          size_t out_stride, size_t rows, size_t columns);

// One step of the online softmax over a block of scores, in place.
//
// Row r of `scores` (at scores + r * stride) has limits[r] columns in play, 0...columns; the others become 0. With
// m' = max(maxima[r], scale * largest score in play): scores become exp(scale * score - m'), maxima[r] becomes m',
// corrections[r] = exp(old m - m') and sums[r] = sums[r] * corrections[r] + the sum of the new values.
// A row with nothing in play keeps its state and gets correction 1.
void winnow_softmax_step(winnow_level level, float *scores, size_t stride, size_t rows, size_t columns, float scale,
                         const int32_t *limits, float *maxima, float *sums, float *corrections);

// rows[r][c] += bias[c], for rows of `columns` values, `stride` apart.
void winnow_add_bias(winnow_level level, float *rows, size_t stride, const float *bias, size_t count, size_t columns);

// Widens `count` values. The input may have any alignment.
void winnow_widen_bf16(winnow_level level, const void *in, float *out, size_t count);
void winnow_widen_f16(winnow_level level, const void *in, float *out, size_t count);

// Rounds `count` values to the nearest bf16, ties to even; a value that is not a number stays one.
void winnow_narrow_bf16(winnow_level level, const float *in, uint16_t *out, size_t count);

// C = alpha A op(B) + beta C, row-major; A is [m, k] with rows lda apart, op(B) is B [k, n], or the transpose of
// B [n, k] if transpose_b. With beta 0, C is not read.
void winnow_sgemm(winnow_level level, int transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a,
                  size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

// The same as `winnow_sgemm` with the transpose of B, for a few rows (m up to 8): reads every row of B once and in
// place, so it runs at the speed of memory.
void winnow_sgemm_few(winnow_level level, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                      const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
