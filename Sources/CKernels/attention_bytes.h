// Blocks of keys and values, and queries, in 8 bits, for attention with AVX-512 VNNI. A query, a key and the values of a key
// have a scale each, their largest over 127. Values are summed over keys, so their scale goes into the weight of their key.
// Keys of one head have much in common, which takes bits that tell them apart: they are less the mean of the first block, as
// in SageAttention (arXiv 2410.02367, section 4.2), where the mean is of all keys.
#ifndef WINNOW_ATTENTION_BYTES_H
#define WINNOW_ATTENTION_BYTES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "attention.h"
#include "attention_fixed.h"
#include "vectors.h"

#if defined(__x86_64__)

#define BYTES_INLINE static inline __attribute__((always_inline)) WINNOW_AVX512_VNNI

BYTES_INLINE __mmask16 bytes_mask(size_t count) {
    return count < 16 ? (__mmask16)((1u << count) - 1) : 0xffff;
}

// Up to 16 bf16 values, widened; the others are zeros.
BYTES_INLINE __m512 bytes_widened(const uint16_t *from, size_t count) {
    const __m256i halves = _mm256_maskz_loadu_epi16(bytes_mask(count), from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// The same less the values at `mean`.
BYTES_INLINE __m512 bytes_less(const uint16_t *from, const float *mean, size_t count) {
    return _mm512_sub_ps(bytes_widened(from, count), _mm512_maskz_loadu_ps(bytes_mask(count), mean));
}

// The scale of a row with this largest value. Rows below 2^-70 count as zeros, so that no sum of inverses overflows.
BYTES_INLINE float bytes_scale(float largest) { return fmaxf(largest, 0x1p-70f) / 127; }

// The scale of what a row of keys or values is over `mean`.
BYTES_INLINE float bytes_scale_of_row(const uint16_t *row, const float *mean, size_t dim) {
    __m512 largest = _mm512_setzero_ps();
    __mmask16 strange = 0;
    for (size_t i = 0; i < dim; i += 16) {
        const __m512 x = _mm512_abs_ps(bytes_less(row + i, mean + i, dim - i));
        strange |= _mm512_cmp_ps_mask(x, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        largest = _mm512_max_ps(largest, x);
    }
    return strange ? NAN : bytes_scale(_mm512_reduce_max_ps(largest));
}

// A query as `dim / 4` quads, `stride` from each other. Returns its scale, which is not a number if one of its values is none,
// or infinite; `start` is what 128 in place of each key's zero adds to its products, taken back.
WINNOW_AVX512_VNNI static float quads_of_query(const float *from, size_t dim, uint32_t *to, size_t stride, int32_t *start) {
    __m512 largest = _mm512_setzero_ps();
    __mmask16 strange = 0;
    for (size_t i = 0; i < dim; i += 16) {
        const __m512 x = _mm512_abs_ps(_mm512_maskz_loadu_ps(bytes_mask(dim - i), from + i));
        strange |= _mm512_cmp_ps_mask(x, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        largest = _mm512_max_ps(largest, x);
    }
    const float scale = strange ? NAN : bytes_scale(_mm512_reduce_max_ps(largest));
    const __m512 inverse = _mm512_set1_ps(strange ? 0 : 1 / scale);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < dim; i += 16) {
        const __m512 query = _mm512_maskz_loadu_ps(bytes_mask(dim - i), from + i);
        const __m512i x = _mm512_cvtps_epi32(_mm512_mul_ps(query, inverse));
        sum = _mm512_add_epi32(sum, x);
        uint32_t quads[4];
        _mm_storeu_si128((__m128i *)quads, _mm512_cvtepi32_epi8(x));
        for (size_t p = 0; p < 4 && 4 * p < dim - i; p++) to[(i / 4 + p) * stride] = quads[p];
    }
    *start = -128 * _mm512_reduce_add_epi32(sum);
    return scale;
}

WINNOW_AVX512_VNNI static float product_with(const float *mean, const float *query, size_t dim) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < dim; i += 16) {
        const __mmask16 mask = bytes_mask(dim - i);
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, mean + i), _mm512_maskz_loadu_ps(mask, query + i), sum);
    }
    return _mm512_reduce_add_ps(sum);
}

// The mean of those of the first `count` keys that the task sees, 0 if there are none.
WINNOW_AVX512_VNNI static void mean_of_keys(const winnow_attention_task *task, size_t count, float *mean) {
    const size_t dim = task->head_dim;
    for (size_t i = 0; i < dim; i += 16) {
        __m512 sum = _mm512_setzero_ps();
        size_t seen = 0;
        for (size_t key = 0; key < count; key++) {
            if (task->visible && !task->visible[key / (size_t)task->block_keys]) continue;
            sum = _mm512_add_ps(sum, bytes_widened((const uint16_t *)task->keys + key * dim + i, dim - i));
            seen++;
        }
        const float share = seen > 0 ? 1.0f / (float)seen : 0;
        _mm512_mask_storeu_ps(mean + i, bytes_mask(dim - i), _mm512_mul_ps(sum, _mm512_set1_ps(share)));
    }
}

// A block's keys less `mean` as quads of bytes, 128 added.
WINNOW_AVX512_VNNI static void quads_of_keys(const uint16_t *from, size_t count, size_t dim, const float *mean,
                                             uint32_t *to, winnow_key_scales *scales) {
    for (size_t key = 0; key < count; key++, from += dim, to += dim / 4) {
        const float scale = bytes_scale_of_row(from, mean, dim);
        const __m512 inverse = _mm512_set1_ps(scale == scale ? 1 / scale : 0);
        scales[key].key = scale;
        for (size_t i = 0; i < dim; i += 16) {
            const __m512i x = _mm512_cvtps_epi32(_mm512_mul_ps(bytes_less(from + i, mean + i, dim - i), inverse));
            const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(x, _mm512_set1_epi32(128)));
            _mm_mask_storeu_epi8((uint8_t *)to + i, bytes_mask(dim - i), bytes);
        }
    }
}

// The logarithms of 16 positive numbers, each within 1e-7: an exponent, and the series of the inverse
// hyperbolic tangent for what is left, between the roots of a half and of 2.
BYTES_INLINE __m512 bytes_log2(__m512 x) {
    const __m512 one = _mm512_set1_ps(1);
    __m512 m = _mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src), exponent = _mm512_getexp_ps(x);
    const __mmask16 above = _mm512_cmp_ps_mask(m, _mm512_set1_ps(1.41421356f), _CMP_GT_OQ);
    m = _mm512_mask_mul_ps(m, above, m, _mm512_set1_ps(0.5f));
    exponent = _mm512_mask_add_ps(exponent, above, exponent, one);
    const __m512 t = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one)), square = _mm512_mul_ps(t, t);
    __m512 sum = _mm512_set1_ps(2.88539008f / 9);
    sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(2.88539008f / 7));
    sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(2.88539008f / 5));
    sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(2.88539008f / 3));
    sum = _mm512_fmadd_ps(sum, square, _mm512_set1_ps(2.88539008f));
    return _mm512_fmadd_ps(sum, t, exponent);
}

// A block's values as quads of four keys' bytes; missing last keys count as zeros. `logs` is room for a number a key, rounded
// up to 16.
WINNOW_AVX512_VNNI static void quads_of_values(const uint16_t *from, size_t count, size_t dim, const float *zeros,
                                               uint32_t *to, winnow_key_scales *scales, float *logs) {
    for (size_t key = 0; key < count; key += 4, from += 4 * dim, to += dim) {
        const size_t these = count - key < 4 ? count - key : 4;
        __m512 inverses[4];
        for (size_t j = 0; j < 4; j++) {
            const float scale = j < these ? bytes_scale_of_row(from + j * dim, zeros, dim) : 1;
            scales[key + j].value_inverse = 1 / scale;
            logs[key + j] = scale;
            inverses[j] = _mm512_set1_ps(j < these && scale == scale ? 1 / scale : 0);
        }
        for (size_t i = 0; i < dim; i += 16) {
            __m512i quads = _mm512_setzero_si512();
            for (size_t j = 0; j < these; j++) {
                const __m512i x =
                    _mm512_cvtps_epi32(_mm512_mul_ps(bytes_widened(from + j * dim + i, dim - i), inverses[j]));
                const __m512i byte = _mm512_and_si512(x, _mm512_set1_epi32(0xff));
                quads = _mm512_or_si512(quads, _mm512_sllv_epi32(byte, _mm512_set1_epi32(8 * (int)j)));
            }
            _mm512_mask_storeu_epi32(to + i, bytes_mask(dim - i), quads);
        }
    }
    const size_t keys = (count + 3) / 4 * 4;
    for (size_t key = 0; key < keys; key += 16) {
        const __mmask16 mask = bytes_mask(keys - key);
        _mm512_mask_storeu_ps(logs + key, mask, bytes_log2(_mm512_mask_loadu_ps(_mm512_set1_ps(1), mask, logs + key)));
    }
    for (size_t key = 0; key < keys; key++) scales[key].value_log = logs[key];
}

#undef BYTES_INLINE

#endif

#endif
