// Weights and rows in 16-bit fixed point, for CPUs that multiply pairs of 16-bit integers faster than Float32.
//
// A run of `winnow_fixed_run` inputs of a row, or of an output's weights, shares one Float32 scale; its values are
// 16-bit integers, and a product of two runs is an exact 32-bit integer. The scale bounds the Euclidean norm of a run,
// not its largest value: by Cauchy and Schwarz no sum leaves 32 bits, and a value is off by at most norm / 65,200. For
// numbers of similar size that is a sixth of what rounding to bf16 costs.
//
// A row's products are the same, bit for bit, whatever rows it is multiplied together with.
#ifndef WINNOW_FIXED_H
#define WINNOW_FIXED_H

#include "packed.h"

// Inputs that share a scale.
enum { winnow_fixed_run = 512 };

// Runs of a row.
size_t winnow_fixed_runs(size_t inputs);

// Values of a converted row: its last run is filled up with a zero to an even number.
size_t winnow_fixed_values(size_t inputs);

// Converts `count` rows from row `first` on, of `total` rows, `stride` apart. `to` holds run 0 of all rows, one row
// after the other, then run 1 of all rows, and so on; `scales` likewise, [runs][total]. The scale of a run with a value
// that is not finite is not a number, and so is all it is multiplied with.
void winnow_fix_rows(winnow_level level, const float *rows, size_t stride, size_t first, size_t count, size_t total,
                     size_t inputs, int16_t *to, float *scales);

// winnow_pack_panel, winnow_unpack_output and winnow_packed_product for weights in fixed point; `rows` are all `m` rows
// that were converted together, with their scales.
void winnow_fixed_pack(winnow_level level, const winnow_packed *packed, size_t panel, const float *rows,
                       size_t present);
void winnow_fixed_unpack(winnow_level level, const winnow_packed *packed, size_t output, float *row);
void winnow_fixed_product(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                          const int16_t *rows, const float *row_scales, float *c, size_t ldc, int accumulate);

#endif
