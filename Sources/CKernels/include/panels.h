// Products of a few rows with weights in panels of 64 outputs, at the speed of memory.
//
// The layout is oneDNN's BA16a64b2a (bf16) and BA16a64b4a (int8), so that one copy of the weights serves both: panel
// after panel, in each a step of 2 (bf16) or 4 (int8) inputs after the other, in a step the inputs of each of 64 outputs
// side by side. Steps are filled up with zeros to a multiple of 16, panels to 64 outputs.
#ifndef WINNOW_PANELS_H
#define WINNOW_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "level.h"

// Outputs of a panel, and steps that a panel's are a multiple of.
enum { winnow_panel_width = 64, winnow_panel_steps = 16 };

// The most rows of one call.
enum { winnow_panel_rows = 32 };

// c[m][output] = (accumulate ? c : 0) + row m of x . weights[output].
//
// `weights` are 64-byte aligned. `x` has m rows of bf16, ldx values apart; sums are Float32, taken in the order of the
// inputs, so a row's are the same in any company, and at level avx512bf16 those of oneDNN's own kernels. c's rows are ldc
// apart.
void winnow_panels_bf16(winnow_level level, const uint16_t *weights, size_t outputs, size_t inputs, size_t m,
                        const uint16_t *x, size_t ldx, float *c, size_t ldc, int accumulate);

// c[m][output] = (accumulate ? c : 0) + (row m of x . weights[output] - shifts[output]) * row_scales[m] * scales[output]
//
// `x` has m rows of bytes without sign, ldx apart; sums are exact, as long as they fit 32 bits.
void winnow_panels_int8(winnow_level level, const int8_t *weights, size_t outputs, size_t inputs, size_t m,
                        const uint8_t *x, size_t ldx, const float *row_scales, const float *scales,
                        const int32_t *shifts, float *c, size_t ldc, int accumulate);

// Bytes that the inputs of one output take in a panel, `in_step` of 2 (bf16) or 4 (int8).
size_t winnow_panel_row_bytes(size_t inputs, size_t in_step);

// Fills the panel at `to`, 64 times winnow_panel_row_bytes, with `present` rows of that many bytes, one after the other:
// bf16 or int8 inputs, then zeros. The panel's other outputs become zeros.
void winnow_panel_fill(void *to, const void *rows, size_t row_bytes, size_t present);

// Reads the weights of one output back, `inputs` values.
void winnow_panels_read_bf16(const uint16_t *weights, size_t inputs, size_t output, float *row);

#endif
