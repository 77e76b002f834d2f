// Products with weights packed once, through oneDNN: bf16 and int8 where the CPU multiplies them fast, and f32.
//
// Version 2 or 3 of oneDNN, whichever the headers were of, is loaded at run time. Every call works in the calling
// thread alone: threads share the work by taking slices of it, and any of them may call at any time, also with the
// same weights. Functions that return int return 0, or oneDNN's status when it failed.
#ifndef WINNOW_ONEDNN_GEMM_H
#define WINNOW_ONEDNN_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "level.h"

// What weights and activations are multiplied as. Sums are Float32, or exact in int8.
typedef enum { winnow_onednn_f32 = 0, winnow_onednn_bf16 = 1, winnow_onednn_int8 = 2 } winnow_onednn_type;

// --- The library

// Why oneDNN cannot be used, or null.
const char *winnow_onednn_problem(void);

// "oneDNN 2.6.3" and so on, or "" when it cannot be used.
const char *winnow_onednn_version(void);

// Whether the library has fast kernels for the type at the level in use: f32 with any compiled ones, bf16 with AVX512-BF16 or
// AMX, int8 with AVX512-VNNI. Weights of another type can be made all the same, if the library has any way at all.
int winnow_onednn_supports(winnow_onednn_type type);

// --- Weights

// The weights of a linear layer, in the library's own layout.
typedef struct winnow_onednn_weights winnow_onednn_weights;

// Room for the weights of `outputs` times `inputs`, or null when the library cannot multiply them.
winnow_onednn_weights *winnow_onednn_create(winnow_onednn_type type, size_t outputs, size_t inputs);
void winnow_onednn_destroy(winnow_onednn_weights *weights);

// The memory they take.
size_t winnow_onednn_bytes(const winnow_onednn_weights *weights);

// The blocks of memory they lie in, to be filled with bytes that the same blocks of equal weights had before; a size of 0:
// there is no such block.
typedef struct {
    void *packed, *scales, *shifts;
    size_t packed_size, scales_size, shifts_size;
} winnow_onednn_memory;
winnow_onednn_memory winnow_onednn_memory_of(winnow_onednn_weights *weights);

// Whether they lie in panels of 64 outputs (panels.h), which are filled one by one; they lie the same on every host then.
int winnow_onednn_has_panels(const winnow_onednn_weights *weights);

// Fills those that lie in panels. First every row of a panel is converted to winnow_onednn_row_bytes at `to`, for int8 with
// a scale of its own; then the panel is filled from its rows, `present` of them, one after the other. Different panels at
// the same time are fine.
size_t winnow_onednn_row_bytes(const winnow_onednn_weights *weights);
void winnow_onednn_convert(winnow_onednn_weights *weights, size_t output, const float *row, void *to);
void winnow_onednn_fill(winnow_onednn_weights *weights, size_t panel, const void *rows, size_t present);

// Fills any from row-major Float32 [outputs, inputs]. Once, before the first product.
int winnow_onednn_pack(winnow_onednn_weights *weights, const float *rows);

// C = A W^T, or C += A W^T if `accumulate`; A is [m, inputs] with rows lda values apart, C [m, outputs] with rows ldc
// apart. A holds floats, bf16, or for int8 the bytes of `winnow_onednn_quantize`, whose scales are then given (null
// otherwise). Without `accumulate` C is not read, but for int8 it holds other numbers until the call returns. Rows
// without gaps (lda = inputs, ldc = outputs) are fastest: where the library has no kernel for gaps, rows are copied. Up
// to 32 rows are multiplied by the kernels of this package (panels.h), which read the same weights at the speed of memory.
int winnow_onednn_multiply(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda,
                           const float *scales, float *c, size_t ldc, int accumulate);

// C = silu(A gate^T) * (A up^T), what a gated feed-forward is before its last product: [m, outputs], not added to what was
// there. Both weights have one type and size; the rest is as in `winnow_onednn_multiply`. Neither product passes through
// memory as a whole.
int winnow_onednn_multiply_gated(const winnow_onednn_weights *gate, const winnow_onednn_weights *up, size_t m,
                                 const void *a, size_t lda, const float *scales, float *c, size_t ldc);

// Whether single outputs can be read back: bf16 weights that lie in panels.
int winnow_onednn_is_readable(const winnow_onednn_weights *weights);

// Reads output `output` back as Float32, `inputs` values.
int winnow_onednn_read(const winnow_onednn_weights *weights, size_t output, float *row);

// The library's name for the kernel that multiplies m rows, as text of at most size - 1 bytes.
int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size);

// --- Activations

// Rounds rows of `columns` values to the nearest bf16, ties to even; NaN stays NaN. The AVX512-BF16 instruction takes
// values under 2^-126 for 0.
void winnow_onednn_to_bf16(winnow_level level, const float *in, size_t in_stride, uint16_t *out,
                           size_t out_stride, size_t rows, size_t columns);

// The largest step for activations, to hand to `winnow_onednn_quantize`: 127, or 63 without AVX512-VNNI, where kernels
// add two products in 16 bits.
int winnow_onednn_largest_step(void);

// x = (byte - largest - 1) * scale, with the row's largest |x| at `largest` (63 or 127) steps: bytes lie in
// 1...2 largest + 1. A row under 2^-100 becomes zeros; one that is not finite gets scale NaN.
void winnow_onednn_quantize(winnow_level level, int largest, const float *in, size_t in_stride,
                            uint8_t *out, size_t out_stride, float *scales, size_t rows, size_t columns);

#endif
