// Norm, rotation, activation and softmax: one body per kernel, written so that the compiler vectorises it, and a plain
// reference that shares nothing with it.
#include "dispatch.h"

#include <math.h>
#include <string.h>

// exp(x) for x <= 88: 2^n * p(f), f in [-ln2/2, ln2/2], p of degree 6 (error under 2 ulp). Below -87 it is 0.
WINNOW_BODY float fast_exp(float x) {
    float clamped = x > -87.0f ? x : -87.0f;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    float shifted = clamped * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    // From x, not from clamped: a NaN must come out as a NaN.
    float f = x - n * 0.693145752f;
    f = f - n * 1.42860677e-6f;
    float p = 1.3888889e-3f;
    p = p * f + 8.3333333e-3f;
    p = p * f + 4.1666667e-2f;
    p = p * f + 1.6666667e-1f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    int32_t exponent = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &exponent, sizeof power);
    return x < -87.0f ? 0.0f : p * power;
}

// --- RMS norm

WINNOW_BODY void rms_norm(const float *x, const float *weight, float epsilon, float *out, size_t rows,
                          size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        const float *row = x + r * columns;
        float *to = out + r * columns;
        // Sixteen sums side by side: vectorisable, and the same result at every level.
        float partial[16] = {0};
        size_t c = 0;
        for (; c + 16 <= columns; c += 16)
            for (size_t i = 0; i < 16; i++) partial[i] += row[c + i] * row[c + i];
        float sum = 0;
        for (; c < columns; c++) sum += row[c] * row[c];
        for (size_t i = 0; i < 16; i++) sum += partial[i];
        float factor = 1.0f / sqrtf(sum / (float)columns + epsilon);
        for (c = 0; c < columns; c++) to[c] = row[c] * factor * weight[c];
    }
}

#define RMS_NORM_PARAMETERS \
    (const float *x, const float *weight, float epsilon, float *out, size_t rows, size_t columns)
#define RMS_NORM_ARGUMENTS (x, weight, epsilon, out, rows, columns)
WINNOW_AVX512 static void winnow_rms_norm_avx512 RMS_NORM_PARAMETERS { rms_norm RMS_NORM_ARGUMENTS; }
WINNOW_AVX2 static void winnow_rms_norm_avx2 RMS_NORM_PARAMETERS { rms_norm RMS_NORM_ARGUMENTS; }
static void winnow_rms_norm_reference RMS_NORM_PARAMETERS {
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++) sum += (double)x[r * columns + c] * x[r * columns + c];
        double factor = 1 / sqrt(sum / (double)columns + epsilon);
        for (size_t c = 0; c < columns; c++)
            out[r * columns + c] = (float)(x[r * columns + c] * factor * weight[c]);
    }
}
WINNOW_DISPATCH(winnow_rms_norm,
                (winnow_level level, const float *x, const float *weight, float epsilon, float *out, size_t rows,
                 size_t columns),
                RMS_NORM_ARGUMENTS)

// --- Rotary position embedding

WINNOW_BODY void rotate(const float *x, const float *cosines, const float *sines, float *out, size_t out_stride,
                        size_t heads, size_t head_dim) {
    size_t half = head_dim / 2;
    for (size_t h = 0; h < heads; h++) {
        const float *low = x + h * head_dim, *high = low + half;
        float *to_low = out + h * out_stride, *to_high = to_low + half;
        // Both are read before either is written, so that `out` may be `x`.
#pragma clang loop vectorize(assume_safety)
        for (size_t i = 0; i < half; i++) {
            float a = low[i], b = high[i];
            to_low[i] = a * cosines[i] - b * sines[i];
            to_high[i] = b * cosines[i] + a * sines[i];
        }
    }
}

#define ROTATE_PARAMETERS                                                                                       \
    (const float *x, const float *cosines, const float *sines, float *out, size_t out_stride, size_t heads, \
     size_t head_dim)
#define ROTATE_ARGUMENTS (x, cosines, sines, out, out_stride, heads, head_dim)
WINNOW_AVX512 static void winnow_rotate_avx512 ROTATE_PARAMETERS { rotate ROTATE_ARGUMENTS; }
WINNOW_AVX2 static void winnow_rotate_avx2 ROTATE_PARAMETERS { rotate ROTATE_ARGUMENTS; }
static void winnow_rotate_reference ROTATE_PARAMETERS {
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < head_dim / 2; i++) {
            size_t j = i + head_dim / 2;
            double a = x[h * head_dim + i], b = x[h * head_dim + j];
            out[h * out_stride + i] = (float)(a * cosines[i] - b * sines[i]);
            out[h * out_stride + j] = (float)(b * cosines[i] + a * sines[i]);
        }
}
WINNOW_DISPATCH(winnow_rotate,
                (winnow_level level, const float *x, const float *cosines, const float *sines, float *out,
                 size_t out_stride, size_t heads, size_t head_dim),
                ROTATE_ARGUMENTS)

// --- SiLU

WINNOW_BODY void silu_multiply(const float *gate, const float *up, size_t stride, float *out, size_t out_stride,
                               size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++, gate += stride, up += stride, out += out_stride) {
        const float *restrict gates = gate, *restrict ups = up;
        float *restrict to = out;
        for (size_t c = 0; c < columns; c++) {
            float negated = -gates[c];
            // exp(88) makes the quotient 0 in Float32 terms already; beyond it only overflow waits.
            float limited = negated > 88.0f ? 88.0f : negated;
            to[c] = gates[c] / (1.0f + fast_exp(limited)) * ups[c];
        }
    }
}

#define SILU_PARAMETERS \
    (const float *gate, const float *up, size_t stride, float *out, size_t out_stride, size_t rows, size_t columns)
#define SILU_ARGUMENTS (gate, up, stride, out, out_stride, rows, columns)
WINNOW_AVX512 static void winnow_silu_multiply_avx512 SILU_PARAMETERS { silu_multiply SILU_ARGUMENTS; }
WINNOW_AVX2 static void winnow_silu_multiply_avx2 SILU_PARAMETERS { silu_multiply SILU_ARGUMENTS; }
static void winnow_silu_multiply_reference SILU_PARAMETERS {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            double value = gate[r * stride + c];
            out[r * out_stride + c] = (float)(value / (1 + exp(-value)) * up[r * stride + c]);
        }
}
WINNOW_DISPATCH(winnow_silu_multiply,
                (winnow_level level, const float *gate, const float *up, size_t stride, float *out, size_t out_stride,
                 size_t rows, size_t columns),
                SILU_ARGUMENTS)

// --- Softmax

WINNOW_BODY float largest(const float *values, size_t count) {
    float partial[16];
    for (size_t i = 0; i < 16; i++) partial[i] = -INFINITY;
    size_t c = 0;
    for (; c + 16 <= count; c += 16)
        for (size_t i = 0; i < 16; i++) partial[i] = values[c + i] > partial[i] ? values[c + i] : partial[i];
    float best = -INFINITY;
    for (; c < count; c++) best = values[c] > best ? values[c] : best;
    for (size_t i = 0; i < 16; i++) best = partial[i] > best ? partial[i] : best;
    return best;
}

WINNOW_BODY void softmax_step(float *scores, size_t stride, size_t rows, size_t columns, float scale,
                              const int32_t *limits, float *maxima, float *sums, float *corrections) {
    for (size_t r = 0; r < rows; r++) {
        float *row = scores + r * stride;
        size_t limit = (size_t)limits[r];
        if (limit == 0) {
            memset(row, 0, columns * sizeof *row);
            corrections[r] = 1;
            continue;
        }
        float before = maxima[r];
        float best = scale * largest(row, limit);
        best = best > before ? best : before;
        float partial[16] = {0};
        size_t c = 0;
        for (; c + 16 <= limit; c += 16)
            for (size_t i = 0; i < 16; i++) {
                float value = fast_exp(row[c + i] * scale - best);
                row[c + i] = value;
                partial[i] += value;
            }
        float sum = 0;
        for (; c < limit; c++) {
            row[c] = fast_exp(row[c] * scale - best);
            sum += row[c];
        }
        for (size_t i = 0; i < 16; i++) sum += partial[i];
        memset(row + limit, 0, (columns - limit) * sizeof *row);
        float correction = fast_exp(before - best);
        corrections[r] = correction;
        sums[r] = sums[r] * correction + sum;
        maxima[r] = best;
    }
}

#define SOFTMAX_PARAMETERS                                                                                        \
    (float *scores, size_t stride, size_t rows, size_t columns, float scale, const int32_t *limits, float *maxima, \
     float *sums, float *corrections)
#define SOFTMAX_ARGUMENTS (scores, stride, rows, columns, scale, limits, maxima, sums, corrections)
WINNOW_AVX512 static void winnow_softmax_step_avx512 SOFTMAX_PARAMETERS { softmax_step SOFTMAX_ARGUMENTS; }
WINNOW_AVX2 static void winnow_softmax_step_avx2 SOFTMAX_PARAMETERS { softmax_step SOFTMAX_ARGUMENTS; }
static void winnow_softmax_step_reference SOFTMAX_PARAMETERS {
    for (size_t r = 0; r < rows; r++) {
        float *row = scores + r * stride;
        double before = maxima[r], best = before, sum = 0;
        for (size_t c = 0; c < (size_t)limits[r]; c++) best = fmax(best, (double)scale * row[c]);
        for (size_t c = 0; c < columns; c++) {
            row[c] = c < (size_t)limits[r] ? (float)exp((double)scale * row[c] - best) : 0;
            sum += row[c];
        }
        corrections[r] = before == best ? 1 : (float)exp(before - best);
        sums[r] = (float)(sums[r] * (double)corrections[r] + sum);
        maxima[r] = (float)best;
    }
}
WINNOW_DISPATCH(winnow_softmax_step,
                (winnow_level level, float *scores, size_t stride, size_t rows, size_t columns, float scale,
                 const int32_t *limits, float *maxima, float *sums, float *corrections),
                SOFTMAX_ARGUMENTS)

// --- Bias

WINNOW_BODY void add_bias(float *rows, size_t stride, const float *bias, size_t count, size_t columns) {
    for (size_t r = 0; r < count; r++)
        for (size_t c = 0; c < columns; c++) rows[r * stride + c] += bias[c];
}

#define BIAS_PARAMETERS (float *rows, size_t stride, const float *bias, size_t count, size_t columns)
#define BIAS_ARGUMENTS (rows, stride, bias, count, columns)
WINNOW_AVX512 static void winnow_add_bias_avx512 BIAS_PARAMETERS { add_bias BIAS_ARGUMENTS; }
WINNOW_AVX2 static void winnow_add_bias_avx2 BIAS_PARAMETERS { add_bias BIAS_ARGUMENTS; }
static void winnow_add_bias_reference BIAS_PARAMETERS { add_bias BIAS_ARGUMENTS; }
WINNOW_DISPATCH(winnow_add_bias,
                (winnow_level level, float *rows, size_t stride, const float *bias, size_t count, size_t columns),
                BIAS_ARGUMENTS)
