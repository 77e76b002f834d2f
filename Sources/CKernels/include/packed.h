// Products with weights that were packed once, at load, in 16 or 8 bits.
#ifndef WINNOW_PACKED_H
#define WINNOW_PACKED_H

#include "kernels.h"

// How packed weights are stored.
typedef enum {
    // bf16, widened to Float32 as they are multiplied.
    winnow_packed_bf16 = 0,
    // Signed 8-bit with a Float32 scale per output, multiplied with 8-bit rows.
    winnow_packed_int8 = 1,
    // 16-bit fixed point, multiplied with rows of the same kind (fixed.h).
    winnow_packed_fixed = 2
} winnow_packed_type;

// The best way of 16 bits at this level.
winnow_packed_type winnow_packed_half(winnow_level level);

// Weights [outputs, inputs] in panels of `winnow_panel_outputs` outputs, each panel one block of memory.
typedef struct {
    winnow_packed_type type;
    size_t outputs, inputs;
    // All panels, one after the other, 64-byte aligned: see winnow_panel_bytes.
    void *panels;
    // int8: a scale per output; fixed point: [panels][runs][outputs of a panel]; bf16: none. With room for whole panels.
    float *scales;
    // int8 only: 128 times the sum of an output's quantised weights, which the offset of the rows adds to every product.
    int32_t *offsets;
} winnow_packed;

// Outputs in a panel: a property of the level.
size_t winnow_panel_outputs(winnow_level level);

// Bytes of one panel.
size_t winnow_panel_bytes(winnow_level level, winnow_packed_type type, size_t inputs);

// Packs panel `panel` from `present` Float32 rows of `inputs` weights; the panel's other outputs become zeros.
//
// bf16 rounds to the nearest even, fixed point to the nearest. int8 scales each output so that its largest weight is at
// most 127, and a little smaller where sums of two products could exceed 16 bits: any row gives an exact integer product.
void winnow_pack_panel(winnow_level level, const winnow_packed *packed, size_t panel, const float *rows,
                       size_t present);

// Reads output `output` of a packed matrix back as Float32, `inputs` values.
void winnow_unpack_output(winnow_level level, const winnow_packed *packed, size_t output, float *row);

// Rows to 8 bits: `to` gets round(x / scale) + 128, scale = the row's largest magnitude / 127. Rows of `to` are
// `winnow_quantized_bytes(inputs)` apart and filled up with the value of 0. The scale of a row with a value that is not
// finite is not a number, and so is all it is multiplied with.
void winnow_quantize_rows(winnow_level level, const float *rows, size_t stride, size_t count, size_t inputs,
                          uint8_t *to, float *scales);

// Bytes of a quantised row.
size_t winnow_quantized_bytes(size_t inputs);

// c[m][output] = (accumulate ? c : 0) + row m of x . weights[output] for the outputs of panels first ..< end.
//
// `x` has m rows of Float32, ldx apart; for int8, rows of winnow_quantize_rows, and for fixed point those of
// winnow_fix_rows (ldx is then not used), with their `x_scales`. `c` points at output 0 of row 0; its rows are ldc apart.
void winnow_packed_product(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                           const void *x, size_t ldx, const float *x_scales, float *c, size_t ldc, int accumulate);

#endif
