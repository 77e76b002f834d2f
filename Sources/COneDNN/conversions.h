// What the product needs of the conversions besides the public ones.
#ifndef WINNOW_ONEDNN_CONVERSIONS_H
#define WINNOW_ONEDNN_CONVERSIONS_H

#include "onednn_gemm.h"

// Quantises one row of weights to -127...127; returns the scale, and in `sum` the sum of the bytes. Every level gives the
// same.
float winnow_onednn_quantize_weights(winnow_level level, const float *row, int8_t *out, int32_t *sum, size_t columns);

// Copies rows of C, or adds them to it.
void winnow_onednn_copy_rows(const float *in, size_t in_stride, float *c, size_t ldc, size_t rows, size_t columns,
                             int accumulate);

// c[r][n] = (sums[r][n] - shifts[n]) * row_scales[r] * column_scales[n], or added to c. `sums` may be c itself.
void winnow_onednn_scale_sums(winnow_level level, const void *sums, size_t sums_stride,
                              const int32_t *shifts, const float *row_scales, const float *column_scales, float *c,
                              size_t ldc, size_t rows, size_t columns, int accumulate);

#endif
