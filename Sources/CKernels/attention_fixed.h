// Blocks of keys and values in fixed point, for attention with AVX2. A query and a key have a scale each, as the runs of
// fixed_point.h. Values are summed over keys, so their scales cannot be taken out of the sum: a key's values are over a
// power of two, which goes into the weight of that key.
#ifndef WINNOW_ATTENTION_FIXED_H
#define WINNOW_ATTENTION_FIXED_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fixed_point.h"
#include "half.h"
#include "kernels.h"

// Of a key, and of its values the logarithm of their power of two and its inverse.
typedef struct {
    float key, value_log, value_inverse;
} winnow_key_scales;

// Values as integers are at most 2 to this.
enum { winnow_value_bits = 12 };

#if defined(__x86_64__)

// A run of an even number of values as pairs of integers, `stride` pairs from each other.
WINNOW_AVX2 static void fix_pairs(const float *from, size_t count, float inverse, uint32_t *to, size_t stride) {
    for (size_t p = 0; p < count / 2; p++) winnow_fix_run(from + 2 * p, 2, inverse, (int16_t *)(to + p * stride));
}

// A block's keys as integers, `apart` values from each other; `spare` has room for a key.
WINNOW_AVX2 static void fix_keys(const uint16_t *from, size_t apart, size_t count, size_t dim, uint32_t *to,
                                 winnow_key_scales *scales, float *spare) {
    for (size_t key = 0; key < count; key++, from += apart, to += dim / 2) {
        winnow_widen_bf16(winnow_level_avx2, from, spare, dim);
        scales[key].key = winnow_fixed_scale(winnow_sum_of_squares(spare, dim), WINNOW_FIXED_NORM);
        winnow_fix_run(spare, dim, winnow_fixed_inverse(scales[key].key), (int16_t *)to);
    }
}

// A block's values as pairs of two keys' integers; a missing last key counts as zeros.
WINNOW_AVX2 static void fix_values(const uint16_t *from, size_t count, size_t dim, uint32_t *to,
                                    winnow_key_scales *scales) {
    for (size_t key = 0; key < count; key++) {
        uint16_t largest = 0;
        for (size_t i = 0; i < dim; i++) {
            uint16_t size = from[key * dim + i] & 0x7fff;
            largest = size > largest ? size : largest;
        }
        // 2^exponent is above all of them. Values below 2^-72 count as zeros, so that no sum of inverses overflows.
        int exponent = (largest >> 7) - 126;
        exponent = exponent < -60 ? -60 : exponent;
        scales[key].value_log = largest < 0x7f80 ? (float)(exponent - winnow_value_bits) : NAN;
        scales[key].value_inverse = scalbnf(1, winnow_value_bits - exponent);
    }
    scales[count].value_inverse = 1;
    for (size_t key = 0; key < count; key += 2, from += 2 * dim, to += dim) {
        const int pair = key + 1 < count;
        const uint16_t *odd = pair ? from + dim : from;
        const float low_inverse = scales[key].value_inverse, high_inverse = pair ? scales[key + 1].value_inverse : 0;
        for (size_t i = 0; i < dim; i++) {
            float low = winnow_from_bf16(from[i]) * low_inverse + WINNOW_FIXED_ROUND;
            float high = winnow_from_bf16(odd[i]) * high_inverse + WINNOW_FIXED_ROUND;
            uint32_t low_bits, high_bits;
            memcpy(&low_bits, &low, sizeof low_bits);
            memcpy(&high_bits, &high, sizeof high_bits);
            to[i] = (low_bits & 0xffff) | high_bits << 16;
        }
    }
}

#endif

#endif
