// Between Float32 and the types that oneDNN multiplies: one body per conversion, written so that the compiler
// vectorises it for each instruction set.
#include "conversions.h"

#include <math.h>
#include <string.h>

#define BODY static inline __attribute__((always_inline))
#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#define AVX512_BF16 __attribute__((target("avx512bf16,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#else
#define AVX2
#define AVX512
#endif

BODY uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

BODY float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// --- bf16

BODY uint16_t to_bf16(float value) {
    uint32_t bits = bits_of(value);
    uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    uint32_t quiet = bits | 0x400000u;
    return (uint16_t)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

BODY void row_to_bf16(const float *in, uint16_t *out, size_t columns) {
    for (size_t c = 0; c < columns; c++) out[c] = to_bf16(in[c]);
}

static void row_to_bf16_reference(const float *in, uint16_t *out, size_t columns) { row_to_bf16(in, out, columns); }
AVX2 static void row_to_bf16_avx2(const float *in, uint16_t *out, size_t columns) { row_to_bf16(in, out, columns); }
AVX512 static void row_to_bf16_avx512(const float *in, uint16_t *out, size_t columns) {
    row_to_bf16(in, out, columns);
}
#if defined(__x86_64__)
AVX512_BF16 static void row_to_bf16_avx512_bf16(const float *in, uint16_t *out, size_t columns) {
    size_t c = 0;
    for (; c + 16 <= columns; c += 16)
        _mm256_storeu_si256((__m256i *)(void *)(out + c), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(in + c)));
    if (c < columns) {
        __mmask16 rest = (__mmask16)((1u << (columns - c)) - 1u);
        _mm256_mask_storeu_epi16(out + c, rest, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, in + c)));
    }
}
#else
#define row_to_bf16_avx512_bf16 row_to_bf16_reference
#endif

void winnow_onednn_to_bf16(winnow_level level, const float *in, size_t in_stride, uint16_t *out,
                           size_t out_stride, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++, in += in_stride, out += out_stride) {
        switch (level) {
            case winnow_level_avx512_bf16:
                row_to_bf16_avx512_bf16(in, out, columns);
                break;
            case winnow_level_avx512_vnni:
            case winnow_level_avx512:
                row_to_bf16_avx512(in, out, columns);
                break;
            case winnow_level_avx2:
                row_to_bf16_avx2(in, out, columns);
                break;
            case winnow_level_reference:
                row_to_bf16_reference(in, out, columns);
                break;
        }
    }
}

// --- int8

// Largest |x|, NaN if there is one: the order of magnitudes is the order of their bits.
BODY float largest_magnitude(const float *in, size_t columns) {
    uint32_t largest = 0;
    for (size_t c = 0; c < columns; c++) {
        uint32_t magnitude = bits_of(in[c]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return float_of(largest);
}

BODY float quantize_row(int largest, const float *in, uint8_t *out, size_t columns) {
    float magnitude = largest_magnitude(in, columns);
    if (!isfinite(magnitude) || magnitude < 0x1p-100f) {
        memset(out, largest + 1, columns);
        return isfinite(magnitude) ? 0.0f : NAN;
    }
    float steps = (float)largest / magnitude;
    float zero = 12582912.0f + (float)(largest + 1);
    // Adding 1.5 * 2^23 rounds to the nearest integer, whose low byte is then the sum's.
    // A statement of its own, so that the product is not fused into the sum and every level gives the same bytes.
    for (size_t c = 0; c < columns; c++) {
        float scaled = in[c] * steps;
        out[c] = (uint8_t)bits_of(scaled + zero);
    }
    return magnitude / (float)largest;
}

#define QUANTIZE (int largest, const float *in, uint8_t *out, size_t columns)
static float quantize_row_reference QUANTIZE { return quantize_row(largest, in, out, columns); }
AVX2 static float quantize_row_avx2 QUANTIZE { return quantize_row(largest, in, out, columns); }
AVX512 static float quantize_row_avx512 QUANTIZE { return quantize_row(largest, in, out, columns); }

void winnow_onednn_quantize(winnow_level level, int largest, const float *in, size_t in_stride,
                            uint8_t *out, size_t out_stride, float *scales, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++, in += in_stride, out += out_stride) {
        switch (level) {
            case winnow_level_avx512_bf16:
            case winnow_level_avx512_vnni:
            case winnow_level_avx512:
                scales[r] = quantize_row_avx512(largest, in, out, columns);
                break;
            case winnow_level_avx2:
                scales[r] = quantize_row_avx2(largest, in, out, columns);
                break;
            case winnow_level_reference:
                scales[r] = quantize_row_reference(largest, in, out, columns);
                break;
        }
    }
}

BODY float quantize_weights(const float *row, int8_t *out, int32_t *sum, size_t columns) {
    float magnitude = largest_magnitude(row, columns);
    *sum = 0;
    if (!isfinite(magnitude) || magnitude < 0x1p-100f) {
        memset(out, 0, columns);
        return isfinite(magnitude) ? 0.0f : NAN;
    }
    float steps = 127.0f / magnitude;
    int32_t total = 0;
    // Rounded as in quantize_row.
    for (size_t c = 0; c < columns; c++) {
        float scaled = row[c] * steps;
        int32_t whole = (int32_t)(bits_of(scaled + 12582912.0f) - bits_of(12582912.0f));
        out[c] = (int8_t)whole;
        total += whole;
    }
    *sum = total;
    return magnitude / 127.0f;
}

#define WEIGHTS (const float *row, int8_t *out, int32_t *sum, size_t columns)
static float quantize_weights_reference WEIGHTS { return quantize_weights(row, out, sum, columns); }
AVX2 static float quantize_weights_avx2 WEIGHTS { return quantize_weights(row, out, sum, columns); }
AVX512 static float quantize_weights_avx512 WEIGHTS { return quantize_weights(row, out, sum, columns); }

float winnow_onednn_quantize_weights(winnow_level level, const float *row, int8_t *out, int32_t *sum, size_t columns) {
    switch (level) {
        case winnow_level_avx512_bf16:
        case winnow_level_avx512_vnni:
        case winnow_level_avx512:
            return quantize_weights_avx512(row, out, sum, columns);
        case winnow_level_avx2:
            return quantize_weights_avx2(row, out, sum, columns);
        case winnow_level_reference:
            break;
    }
    return quantize_weights_reference(row, out, sum, columns);
}

void winnow_onednn_copy_rows(const float *in, size_t in_stride, float *c, size_t ldc, size_t rows, size_t columns,
                             int accumulate) {
    for (size_t r = 0; r < rows; r++, in += in_stride, c += ldc) {
        if (accumulate)
            for (size_t n = 0; n < columns; n++) c[n] += in[n];
        else
            memcpy(c, in, columns * sizeof *c);
    }
}

// Sixteen values at a time through locals, so that `sums` may be c.
BODY void scale_few(const char *sums, const int32_t *shifts, float row_scale, const float *column_scales, float *c,
                    size_t count, int accumulate) {
    int32_t sum[16];
    float old[16], new[16];
    memcpy(sum, sums, count * sizeof *sum);
    if (accumulate) memcpy(old, c, count * sizeof *old);
    for (size_t i = 0; i < count; i++) new[i] = (float)(sum[i] - shifts[i]) * (row_scale * column_scales[i]);
    if (accumulate)
        for (size_t i = 0; i < count; i++) new[i] += old[i];
    memcpy(c, new, count * sizeof *new);
}

BODY void scale_row(const char *sums, const int32_t *shifts, float row_scale, const float *column_scales, float *c,
                    size_t columns, int accumulate) {
    size_t n = 0;
    for (; n + 16 <= columns; n += 16)
        scale_few(sums + n * sizeof(int32_t), shifts + n, row_scale, column_scales + n, c + n, 16, accumulate);
    scale_few(sums + n * sizeof(int32_t), shifts + n, row_scale, column_scales + n, c + n, columns - n, accumulate);
}

#define SCALE                                                                                                        \
    (const char *sums, const int32_t *shifts, float row_scale, const float *column_scales, float *c, size_t columns, \
     int accumulate)
#define SCALE_BODY                                                            \
    {                                                                         \
        if (accumulate)                                                       \
            scale_row(sums, shifts, row_scale, column_scales, c, columns, 1); \
        else                                                                  \
            scale_row(sums, shifts, row_scale, column_scales, c, columns, 0); \
    }
static void scale_row_reference SCALE SCALE_BODY
AVX2 static void scale_row_avx2 SCALE SCALE_BODY
AVX512 static void scale_row_avx512 SCALE SCALE_BODY

void winnow_onednn_scale_sums(winnow_level level, const void *sums, size_t sums_stride,
                              const int32_t *shifts, const float *row_scales, const float *column_scales, float *c,
                              size_t ldc, size_t rows, size_t columns, int accumulate) {
    for (size_t r = 0; r < rows; r++, c += ldc) {
        const char *row = (const char *)sums + r * sums_stride * sizeof(int32_t);
        switch (level) {
            case winnow_level_avx512_bf16:
            case winnow_level_avx512_vnni:
            case winnow_level_avx512:
                scale_row_avx512(row, shifts, row_scales[r], column_scales, c, columns, accumulate);
                break;
            case winnow_level_avx2:
                scale_row_avx2(row, shifts, row_scales[r], column_scales, c, columns, accumulate);
                break;
            case winnow_level_reference:
                scale_row_reference(row, shifts, row_scales[r], column_scales, c, columns, accumulate);
                break;
        }
    }
}
