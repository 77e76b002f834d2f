// Runs of numbers in 16-bit fixed point: what products and attention share.
#ifndef WINNOW_FIXED_POINT_H
#define WINNOW_FIXED_POINT_H

#include <float.h>
#include <math.h>

#include "dispatch.h"

// The Euclidean norm of a run of integers. No value is larger, so that all fit 16 bits, and the product of two runs is
// at most the product of their norms, so that sums fit 32: with room for what rounding adds, to bf16 before and to
// integers after, to runs of up to 4096 values.
#define WINNOW_FIXED_NORM 32600.0f

// A sum with 1.5 * 2^23 is rounded to the nearest integer, which its low bits then hold.
#define WINNOW_FIXED_ROUND 12582912.0f

// The scale of a run with this sum of squares: not a number where the sum is not finite.
WINNOW_BODY float winnow_fixed_scale(float squares, float norm) {
    return squares <= FLT_MAX ? sqrtf(squares) / norm : NAN;
}

// What maps a run to integers; a run of zeros, or without a scale, becomes zeros.
WINNOW_BODY float winnow_fixed_inverse(float scale) { return scale > 0 ? 1 / scale : 0; }

// The sum of squares of values that lie side by side.
WINNOW_BODY float winnow_sum_of_squares(const float *run, size_t count) {
    typedef float eight __attribute__((vector_size(32)));
    eight sums[2] = {0};
    float sum = 0;
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int j = 0; j < 2; j++) {
            eight x;
            __builtin_memcpy(&x, run + i + 8 * j, sizeof x);
            sums[j] += x * x;
        }
    for (; i < count; i++) sum += run[i] * run[i];
    eight all = sums[0] + sums[1];
    return sum + ((all[0] + all[4]) + (all[1] + all[5])) + ((all[2] + all[6]) + (all[3] + all[7]));
}

// Rounds `count` values to integers.
WINNOW_BODY void winnow_fix_run(const float *run, size_t count, float inverse, int16_t *to) {
    for (size_t i = 0; i < count; i++) {
        float shifted = run[i] * inverse + WINNOW_FIXED_ROUND;
        int32_t bits;
        __builtin_memcpy(&bits, &shifted, sizeof bits);
        to[i] = (int16_t)bits;
    }
}

#endif
