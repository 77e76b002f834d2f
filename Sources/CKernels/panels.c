// Products of a few rows with panels of 64 outputs: AVX-512 with bf16 or VNNI instructions, and a plain reference.
#include "panels.h"

#include <string.h>

#include "half.h"

enum {
    // Rows multiplied at once: with four vectors each, their sums and a step's weights fill the registers.
    most_tile_rows = 6,
    // Steps of a part, 256 bytes each, that stays in the first cache while tiles take turns on it.
    part_steps = 64,
    // Bytes that the weights of a single tile are fetched ahead.
    prefetched = 1024
};

// --- References

static void sum_bf16(const uint16_t *panel, size_t inputs, size_t m, const uint16_t *x, size_t ldx, float *sums) {
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < winnow_panel_width; j++) {
            float sum = 0;
            for (size_t i = 0; i < inputs; i++)
                sum += winnow_from_bf16(x[r * ldx + i]) *
                       winnow_from_bf16(panel[(i / 2 * winnow_panel_width + j) * 2 + i % 2]);
            sums[r * winnow_panel_width + j] = sum;
        }
}

static void sum_int8(const int8_t *panel, size_t inputs, size_t m, const uint8_t *x, size_t ldx, int32_t *sums) {
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < winnow_panel_width; j++) {
            int32_t sum = 0;
            for (size_t i = 0; i < inputs; i++)
                sum += x[r * ldx + i] * panel[(i / 4 * winnow_panel_width + j) * 4 + i % 4];
            sums[r * winnow_panel_width + j] = sum;
        }
}

static void put_floats(size_t m, size_t columns, const float *sums, float *c, size_t ldc, int accumulate) {
    for (size_t r = 0; r < m; r++, sums += winnow_panel_width, c += ldc)
        for (size_t j = 0; j < columns; j++) c[j] = accumulate ? c[j] + sums[j] : sums[j];
}

// Statements of their own, so that no product is fused into a sum and every level gives the same.
WINNOW_BODY void put_integers(size_t m, size_t columns, const int32_t *sums, const float *row_scales,
                              const float *scales, const int32_t *shifts, float *c, size_t ldc, int accumulate) {
    for (size_t r = 0; r < m; r++, sums += winnow_panel_width, c += ldc)
        for (size_t j = 0; j < columns; j++) {
            float product = (float)(sums[j] - shifts[j]) * (row_scales[r] * scales[j]);
            c[j] = accumulate ? c[j] + product : product;
        }
}

// --- Fast ones

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512_VNNI __attribute__((target("avx512vnni,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))

#define NAME(name) name##_bf16
#define TARGET WINNOW_AVX512_BF16
#define ELEMENT uint16_t
#define SUM float
#define VECTOR __m512
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define STEP(sums, row, weights) _mm512_dpbf16_ps(sums, (__m512bh)(row), (__m512bh)(weights))
// As many as oneDNN takes, so that its products with more rows are the same to the last bit.
#define RUN_STEPS (inputs > 1024 ? 512 : 256)
#include "panels_body.h"
#undef NAME
#undef TARGET
#undef ELEMENT
#undef SUM
#undef VECTOR
#undef LOAD
#undef STORE
#undef STEP
#undef RUN_STEPS

#define NAME(name) name##_int8
#define TARGET AVX512_VNNI
#define ELEMENT uint8_t
#define SUM int32_t
#define VECTOR __m512i
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define STEP(sums, row, weights) _mm512_dpbusd_epi32(sums, row, weights)
#define RUN_STEPS steps
#include "panels_body.h"

AVX512_VNNI static void put_integers_avx512(size_t m, size_t columns, const int32_t *sums, const float *row_scales,
                                            const float *scales, const int32_t *shifts, float *c, size_t ldc,
                                            int accumulate) {
    if (accumulate) put_integers(m, columns, sums, row_scales, scales, shifts, c, ldc, 1);
    else put_integers(m, columns, sums, row_scales, scales, shifts, c, ldc, 0);
}
#endif

// --- By level

static size_t padded_steps(size_t inputs, size_t in_step) {
    return ((inputs + in_step - 1) / in_step + winnow_panel_steps - 1) / winnow_panel_steps * winnow_panel_steps;
}

size_t winnow_panel_row_bytes(size_t inputs, size_t in_step) { return padded_steps(inputs, in_step) * 4; }

// A step is four bytes in either type. By parts of 16 steps, a cache line of each row: their places in the panel, 4 KiB, stay
// in the first cache.
void winnow_panel_fill(void *to, const void *rows, size_t row_bytes, size_t present) {
    uint32_t *panel = to;
    const char *from = rows;
    for (size_t step = 0; step < row_bytes / 4; step += winnow_panel_steps, panel += winnow_panel_steps * winnow_panel_width) {
        for (size_t j = 0; j < winnow_panel_width; j++) {
            uint32_t part[winnow_panel_steps] = {0};
            if (j < present) memcpy(part, from + j * row_bytes + step * 4, sizeof part);
            for (size_t i = 0; i < winnow_panel_steps; i++) panel[i * winnow_panel_width + j] = part[i];
        }
    }
}

void winnow_panels_bf16(winnow_level level, const uint16_t *weights, size_t outputs, size_t inputs, size_t m,
                        const uint16_t *x, size_t ldx, float *c, size_t ldc, int accumulate) {
    float sums[winnow_panel_rows * winnow_panel_width] __attribute__((aligned(64)));
    const size_t panel = padded_steps(inputs, 2) * winnow_panel_width * 2;
    for (size_t output = 0; output < outputs; output += winnow_panel_width, weights += panel) {
        const size_t left = outputs - output, columns = left < winnow_panel_width ? left : winnow_panel_width;
#if defined(__x86_64__)
        if (level >= winnow_level_avx512_bf16) panel_bf16(weights, inputs, m, x, ldx, sums);
        else
#endif
            sum_bf16(weights, inputs, m, x, ldx, sums);
        put_floats(m, columns, sums, c + output, ldc, accumulate);
    }
}

void winnow_panels_int8(winnow_level level, const int8_t *weights, size_t outputs, size_t inputs, size_t m,
                        const uint8_t *x, size_t ldx, const float *row_scales, const float *scales,
                        const int32_t *shifts, float *c, size_t ldc, int accumulate) {
    int32_t sums[winnow_panel_rows * winnow_panel_width] __attribute__((aligned(64)));
    const size_t panel = padded_steps(inputs, 4) * winnow_panel_width * 4;
    for (size_t output = 0; output < outputs; output += winnow_panel_width, weights += panel) {
        const size_t left = outputs - output, columns = left < winnow_panel_width ? left : winnow_panel_width;
#if defined(__x86_64__)
        if (level >= winnow_level_avx512_vnni) {
            panel_int8((const uint8_t *)weights, inputs, m, x, ldx, sums);
            put_integers_avx512(m, columns, sums, row_scales, scales + output, shifts + output, c + output, ldc,
                                accumulate);
            continue;
        }
#endif
        sum_int8(weights, inputs, m, x, ldx, sums);
        put_integers(m, columns, sums, row_scales, scales + output, shifts + output, c + output, ldc, accumulate);
    }
}

void winnow_panels_read_bf16(const uint16_t *weights, size_t inputs, size_t output, float *row) {
    const size_t panel = padded_steps(inputs, 2) * winnow_panel_width * 2;
    const uint16_t *from = weights + output / winnow_panel_width * panel + output % winnow_panel_width * 2;
    for (size_t i = 0; i < inputs; i++) row[i] = winnow_from_bf16(from[i / 2 * winnow_panel_width * 2 + i % 2]);
}
