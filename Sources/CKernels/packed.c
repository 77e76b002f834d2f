// Packing, and products with packed weights: one body compiled for AVX2 (int8) and AVX-512, and a plain reference.
#include "packed.h"

#include <math.h>
#include <string.h>

#include "fixed.h"
#include "half.h"
#include "vectors.h"

// Inputs are taken 8 at a time, so quantised rows are filled up to a multiple.
size_t winnow_quantized_bytes(size_t inputs) { return (inputs + 7) / 8 * 8; }

static size_t lanes_of(winnow_level level) { return level >= winnow_level_avx512 ? 16 : 8; }

size_t winnow_panel_outputs(winnow_level level) { return 2 * lanes_of(level); }

winnow_packed_type winnow_packed_half(winnow_level level) {
    // AVX-512 without bf16 multiplies Float32 as fast as 16-bit pairs.
    return level == winnow_level_avx2 ? winnow_packed_fixed : winnow_packed_bf16;
}

size_t winnow_panel_bytes(winnow_level level, winnow_packed_type type, size_t inputs) {
    size_t outputs = winnow_panel_outputs(level);
    switch (type) {
        case winnow_packed_bf16: return inputs * outputs * 2;
        case winnow_packed_fixed: return winnow_fixed_values(inputs) * outputs * 2;
        case winnow_packed_int8: break;
    }
    return winnow_quantized_bytes(inputs) * outputs;
}

// --- Packing

// The scale of one output: what maps its largest weight to 127, and no sum of two products of neighbouring pairs beyond
// 16 bits. A 16-bit lane adds inputs {0, 1, 4, 5} or {2, 3, 6, 7} of each 8, times rows of 0...255.
WINNOW_BODY float scale_of(const float *row, size_t inputs) {
    typedef float eight __attribute__((vector_size(32)));
    const eight zero = {0};
    eight largest = zero, heaviest = zero;
    for (size_t p = 0; p < inputs; p += 8) {
        eight x = {0};
        memcpy(&x, row + p, (inputs - p < 8 ? inputs - p : 8) * sizeof *row);
        eight up = __builtin_elementwise_max(x, zero), down = __builtin_elementwise_max(-x, zero);
        largest = __builtin_elementwise_max(largest, up + down);
        up += __builtin_shufflevector(up, up, 1, 0, 3, 2, 5, 4, 7, 6);
        up += __builtin_shufflevector(up, up, 4, 5, 6, 7, 0, 1, 2, 3);
        down += __builtin_shufflevector(down, down, 1, 0, 3, 2, 5, 4, 7, 6);
        down += __builtin_shufflevector(down, down, 4, 5, 6, 7, 0, 1, 2, 3);
        heaviest = __builtin_elementwise_max(heaviest, up);
        heaviest = __builtin_elementwise_max(heaviest, down);
    }
    float scale = 0;
    for (int i = 0; i < 8; i++) {
        // 255 * 126 + 255 * 2 (four roundings of at most a half) stays below 32768.
        scale = largest[i] / 127 > scale ? largest[i] / 127 : scale;
        scale = heaviest[i] / 126 > scale ? heaviest[i] / 126 : scale;
    }
    return scale;
}

WINNOW_BODY void pack_int8(size_t outputs, const winnow_packed *packed, size_t panel, const float *rows,
                           size_t present) {
    const size_t inputs = packed->inputs, bytes = winnow_quantized_bytes(inputs);
    int8_t *to = (int8_t *)packed->panels + panel * bytes * outputs;
    memset(to, 0, bytes * outputs);
    for (size_t j = 0; j < outputs; j++) {
        float scale = 0;
        int32_t sum = 0;
        if (j < present) {
            const float *row = rows + j * inputs;
            scale = scale_of(row, inputs);
            float inverse = scale > 0 ? 1 / scale : 0;
            for (size_t p = 0; p < inputs; p += 4) {
                int8_t quad[4] = {0};
                for (size_t i = 0; i < 4 && p + i < inputs; i++) {
                    // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits then hold. The scale bounds it.
                    float shifted = row[p + i] * inverse + 12582912.0f;
                    int32_t bits;
                    memcpy(&bits, &shifted, sizeof bits);
                    quad[i] = (int8_t)bits;
                    sum += quad[i];
                }
                memcpy(to + (p / 4 * outputs + j) * 4, quad, sizeof quad);
            }
        }
        packed->scales[panel * outputs + j] = scale;
        packed->offsets[panel * outputs + j] = 128 * sum;
    }
}

#if defined(__x86_64__)
WINNOW_AVX2 static void pack_int8_avx2(size_t outputs, const winnow_packed *packed, size_t panel, const float *rows,
                                       size_t present) {
    pack_int8(outputs, packed, panel, rows, present);
}
#endif
static void pack_int8_reference(size_t outputs, const winnow_packed *packed, size_t panel, const float *rows,
                                size_t present) {
    pack_int8(outputs, packed, panel, rows, present);
}

static void pack_bf16(winnow_level level, const winnow_packed *packed, size_t panel, const float *rows,
                      size_t present) {
    const size_t lanes = lanes_of(level);
    uint32_t *to = (uint32_t *)packed->panels + panel * packed->inputs * lanes;
    // Sixteen inputs at a time, so that the lines being written stay in the first cache.
    for (size_t from = 0; from < packed->inputs; from += 16)
        for (size_t j = 0; j < lanes; j++) {
            const float *low = rows + j * packed->inputs, *high = low + lanes * packed->inputs;
            size_t end = from + 16 < packed->inputs ? from + 16 : packed->inputs;
            if (j + lanes < present)
                for (size_t p = from; p < end; p++)
                    to[p * lanes + j] = winnow_bf16_bits(low[p]) | (uint32_t)winnow_bf16_bits(high[p]) << 16;
            else
                for (size_t p = from; p < end; p++) to[p * lanes + j] = j < present ? winnow_bf16_bits(low[p]) : 0;
        }
}

void winnow_pack_panel(winnow_level level, const winnow_packed *packed, size_t panel, const float *rows,
                       size_t present) {
    if (packed->type == winnow_packed_bf16) pack_bf16(level, packed, panel, rows, present);
    else if (packed->type == winnow_packed_fixed) winnow_fixed_pack(level, packed, panel, rows, present);
#if defined(__x86_64__)
    else if (level >= winnow_level_avx2) pack_int8_avx2(winnow_panel_outputs(level), packed, panel, rows, present);
#endif
    else pack_int8_reference(winnow_panel_outputs(level), packed, panel, rows, present);
}

void winnow_unpack_output(winnow_level level, const winnow_packed *packed, size_t output, float *row) {
    const size_t lanes = lanes_of(level), panel = output / (2 * lanes), j = output % (2 * lanes);
    if (packed->type == winnow_packed_bf16) {
        const uint16_t *from = (const uint16_t *)packed->panels + panel * packed->inputs * 2 * lanes;
        for (size_t p = 0; p < packed->inputs; p++)
            row[p] = winnow_from_bf16(from[p * 2 * lanes + 2 * (j % lanes) + j / lanes]);
    } else if (packed->type == winnow_packed_fixed) {
        winnow_fixed_unpack(level, packed, output, row);
    } else {
        const size_t bytes = winnow_quantized_bytes(packed->inputs);
        const int8_t *from = (const int8_t *)packed->panels + panel * bytes * 2 * lanes;
        for (size_t p = 0; p < packed->inputs; p++)
            row[p] = from[(p / 4 * 2 * lanes + j) * 4 + p % 4] * packed->scales[output];
    }
}

// --- Quantised rows

WINNOW_BODY void quantize_rows(const float *rows, size_t stride, size_t count, size_t inputs, uint8_t *to,
                               float *scales) {
    const size_t bytes = winnow_quantized_bytes(inputs);
    for (size_t r = 0; r < count; r++) {
        const float *row = rows + r * stride;
        uint8_t *out = to + r * bytes;
        // Zero times a value is zero, or not a number where the value is not finite.
        float partial[16] = {0}, zeros[16] = {0};
        size_t p = 0;
        for (; p + 16 <= inputs; p += 16)
            for (size_t i = 0; i < 16; i++) {
                float size = __builtin_fabsf(row[p + i]);
                partial[i] = size > partial[i] ? size : partial[i];
                zeros[i] += row[p + i] * 0;
            }
        float largest = 0, zero = 0;
        for (; p < inputs; p++) {
            largest = __builtin_fabsf(row[p]) > largest ? __builtin_fabsf(row[p]) : largest;
            zero += row[p] * 0;
        }
        for (size_t i = 0; i < 16; i++) {
            largest = partial[i] > largest ? partial[i] : largest;
            zero += zeros[i];
        }
        scales[r] = largest / 127 + zero;
        float inverse = largest > 0 ? 127 / largest : 0;
        // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits then hold.
        for (p = 0; p < inputs; p++) {
            float shifted = row[p] * inverse + (12582912.0f + 128.0f);
            int32_t bits;
            memcpy(&bits, &shifted, sizeof bits);
            out[p] = (uint8_t)bits;
        }
        for (; p < bytes; p++) out[p] = 128;
    }
}

#define QUANTIZE_PARAMETERS                                                                                        \
    (const float *rows, size_t stride, size_t count, size_t inputs, uint8_t *to, float *scales)
#define QUANTIZE_ARGUMENTS (rows, stride, count, inputs, to, scales)
WINNOW_AVX512 static void winnow_quantize_rows_avx512 QUANTIZE_PARAMETERS { quantize_rows QUANTIZE_ARGUMENTS; }
WINNOW_AVX2 static void winnow_quantize_rows_avx2 QUANTIZE_PARAMETERS { quantize_rows QUANTIZE_ARGUMENTS; }
static void winnow_quantize_rows_reference QUANTIZE_PARAMETERS {
    for (size_t r = 0; r < count; r++) {
        const float *row = rows + r * stride;
        float largest = 0, zero = 0;
        for (size_t p = 0; p < inputs; p++) {
            largest = fmaxf(largest, fabsf(row[p]));
            zero += row[p] * 0;
        }
        scales[r] = largest / 127 + zero;
        if (isnan(scales[r])) largest = 0;
        for (size_t p = 0; p < winnow_quantized_bytes(inputs); p++) {
            float value = p < inputs && largest > 0 ? rintf(row[p] * (127 / largest)) : 0;
            to[r * winnow_quantized_bytes(inputs) + p] = (uint8_t)(value + 128);
        }
    }
}
WINNOW_DISPATCH(winnow_quantize_rows,
                (winnow_level level, const float *rows, size_t stride, size_t count, size_t inputs, uint8_t *to,
                 float *scales),
                QUANTIZE_ARGUMENTS)

// --- Products

// Plain loops over the packed weights, with sums in Double.
static void product_reference(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                              const void *x, size_t ldx, const float *x_scales, float *c, size_t ldc, int accumulate) {
    const size_t lanes = lanes_of(level), bytes = winnow_quantized_bytes(packed->inputs);
    for (size_t output = first * 2 * lanes; output < end * 2 * lanes && output < packed->outputs; output++)
        for (size_t r = 0; r < m; r++) {
            const size_t panel = output / (2 * lanes), j = output % (2 * lanes);
            double sum = 0;
            if (packed->type == winnow_packed_bf16) {
                const uint16_t *weights = (const uint16_t *)packed->panels + panel * packed->inputs * 2 * lanes;
                for (size_t p = 0; p < packed->inputs; p++)
                    sum += (double)((const float *)x)[r * ldx + p] *
                           winnow_from_bf16(weights[p * 2 * lanes + 2 * (j % lanes) + j / lanes]);
            } else {
                const int8_t *weights = (const int8_t *)packed->panels + panel * bytes * 2 * lanes;
                int32_t whole = 0;
                for (size_t p = 0; p < packed->inputs; p++)
                    whole += (((const uint8_t *)x)[r * bytes + p] - 128) * weights[(p / 4 * 2 * lanes + j) * 4 + p % 4];
                sum = (double)whole * x_scales[r] * packed->scales[output];
            }
            float *to = c + r * ldc + output;
            *to = (float)(sum + (accumulate ? *to : 0));
        }
}

#if defined(__x86_64__)

#define VECTOR f8
#define INTEGERS __m256i
#define LANES 8
#define BF16 0
#define TARGET WINNOW_AVX2
#define F(name) WINNOW_JOIN(f8, name)
#define I(name) WINNOW_JOIN(i8, name)
#define NAME(name) WINNOW_JOIN(avx2, name)
#include "packed_body.h"
#undef VECTOR
#undef INTEGERS
#undef LANES
#undef BF16
#undef TARGET
#undef F
#undef I
#undef NAME

#define VECTOR f16
#define INTEGERS __m512i
#define LANES 16
#define BF16 1
#define TILE 14
#define TARGET WINNOW_AVX512
#define F(name) WINNOW_JOIN(f16, name)
#define I(name) WINNOW_JOIN(i16, name)
#define NAME(name) WINNOW_JOIN(avx512, name)
#include "packed_body.h"

void winnow_packed_product(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                           const void *x, size_t ldx, const float *x_scales, float *c, size_t ldc, int accumulate) {
    if (packed->type == winnow_packed_fixed) {
        winnow_fixed_product(level, packed, first, end, m, x, x_scales, c, ldc, accumulate);
        return;
    }
    const int bytes = packed->type == winnow_packed_int8;
    switch (level) {
        case winnow_level_avx512_bf16:
        case winnow_level_avx512_vnni:
        case winnow_level_avx512:
            if (bytes) avx512_int8_product(packed, first, end, m, x, x_scales, c, ldc, accumulate);
            else avx512_bf16_product(packed, first, end, m, x, ldx, c, ldc, accumulate);
            return;
        case winnow_level_avx2:
            if (bytes) avx2_int8_product(packed, first, end, m, x, x_scales, c, ldc, accumulate);
            else product_reference(level, packed, first, end, m, x, ldx, x_scales, c, ldc, accumulate);
            return;
        case winnow_level_reference:
            product_reference(level, packed, first, end, m, x, ldx, x_scales, c, ldc, accumulate);
    }
}

#else

void winnow_packed_product(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                           const void *x, size_t ldx, const float *x_scales, float *c, size_t ldc, int accumulate) {
    if (packed->type == winnow_packed_fixed) {
        winnow_fixed_product(level, packed, first, end, m, x, x_scales, c, ldc, accumulate);
        return;
    }
    product_reference(level, packed, first, end, m, x, ldx, x_scales, c, ldc, accumulate);
}

#endif
