// Weights and rows in 16-bit fixed point: AVX2, and a plain reference.
//
// A panel is [runs][pairs of inputs][outputs of a panel][2]: a vector holds two inputs of each of eight outputs.
#include "fixed.h"

#include <math.h>
#include <string.h>

#include "fixed_point.h"
#include "vectors.h"

size_t winnow_fixed_runs(size_t inputs) { return (inputs + winnow_fixed_run - 1) / winnow_fixed_run; }

size_t winnow_fixed_values(size_t inputs) { return (inputs + 1) / 2 * 2; }

// Inputs of run `run`.
static size_t run_inputs(size_t inputs, size_t run) {
    size_t from = run * winnow_fixed_run;
    return inputs - from < winnow_fixed_run ? inputs - from : winnow_fixed_run;
}

// --- Rows

WINNOW_BODY void fix_rows(const float *rows, size_t stride, size_t first, size_t count, size_t total, size_t inputs,
                          int16_t *to, float *scales) {
    for (size_t r = first; r < first + count; r++)
        for (size_t run = 0; run < winnow_fixed_runs(inputs); run++) {
            const size_t used = run_inputs(inputs, run), width = winnow_fixed_values(used);
            const float *from = rows + r * stride + run * winnow_fixed_run;
            int16_t *out = to + run * winnow_fixed_run * total + r * width;
            float scale = winnow_fixed_scale(winnow_sum_of_squares(from, used), WINNOW_FIXED_NORM);
            winnow_fix_run(from, used, winnow_fixed_inverse(scale), out);
            if (used < width) out[used] = 0;
            scales[run * total + r] = scale;
        }
}

#define FIX_PARAMETERS                                                                                                \
    (const float *rows, size_t stride, size_t first, size_t count, size_t total, size_t inputs, int16_t *to,          \
     float *scales)
#define FIX_ARGUMENTS (rows, stride, first, count, total, inputs, to, scales)
WINNOW_AVX512 static void winnow_fix_rows_avx512 FIX_PARAMETERS { fix_rows FIX_ARGUMENTS; }
WINNOW_AVX2 static void winnow_fix_rows_avx2 FIX_PARAMETERS { fix_rows FIX_ARGUMENTS; }
static void winnow_fix_rows_reference FIX_PARAMETERS { fix_rows FIX_ARGUMENTS; }
WINNOW_DISPATCH(winnow_fix_rows,
                (winnow_level level, const float *rows, size_t stride, size_t first, size_t count, size_t total,
                 size_t inputs, int16_t *to, float *scales),
                FIX_ARGUMENTS)

// --- Packing

// Of a panel, at any level.
enum { most_outputs = 32 };

WINNOW_BODY void pack(size_t outputs, const winnow_packed *packed, size_t panel, const float *rows, size_t present) {
    const size_t inputs = packed->inputs, runs = winnow_fixed_runs(inputs);
    int16_t *to = (int16_t *)packed->panels + panel * winnow_fixed_values(inputs) * outputs;
    float *scales = packed->scales + panel * runs * outputs;
    for (size_t run = 0; run < runs; run++, scales += outputs) {
        const size_t used = run_inputs(inputs, run), width = winnow_fixed_values(used);
        // A row of integers for each output; then pairs, in the order they lie in.
        int16_t fixed[most_outputs][winnow_fixed_run];
        for (size_t j = 0; j < outputs; j++) {
            scales[j] = 0;
            if (j < present) {
                const float *weights = rows + j * inputs + run * winnow_fixed_run;
                scales[j] = winnow_fixed_scale(winnow_sum_of_squares(weights, used), WINNOW_FIXED_NORM);
                winnow_fix_run(weights, used, winnow_fixed_inverse(scales[j]), fixed[j]);
                if (used < width) fixed[j][used] = 0;
            } else {
                memset(fixed[j], 0, sizeof fixed[j]);
            }
        }
        for (size_t pair = 0; pair < width / 2; pair++, to += 2 * outputs)
            for (size_t j = 0; j < outputs; j++) memcpy(to + 2 * j, fixed[j] + 2 * pair, 2 * sizeof *to);
    }
}

#if defined(__x86_64__)
WINNOW_AVX2 static void pack_avx2(size_t outputs, const winnow_packed *packed, size_t panel, const float *rows,
                                  size_t present) {
    pack(outputs, packed, panel, rows, present);
}
#endif

void winnow_fixed_pack(winnow_level level, const winnow_packed *packed, size_t panel, const float *rows,
                       size_t present) {
    const size_t outputs = winnow_panel_outputs(level);
#if defined(__x86_64__)
    if (level >= winnow_level_avx2) {
        pack_avx2(outputs, packed, panel, rows, present);
        return;
    }
#endif
    pack(outputs, packed, panel, rows, present);
}

// The integers of run `run` of an output: inputs p and p + 1, p even, lie at p * outputs of a panel.
static const int16_t *weights_of(const winnow_packed *packed, size_t outputs, size_t output, size_t run) {
    const int16_t *panel =
        (const int16_t *)packed->panels + output / outputs * winnow_fixed_values(packed->inputs) * outputs;
    return panel + run * winnow_fixed_run * outputs + output % outputs * 2;
}

static float scale_of(const winnow_packed *packed, size_t outputs, size_t output, size_t run) {
    return packed->scales[(output / outputs * winnow_fixed_runs(packed->inputs) + run) * outputs + output % outputs];
}

void winnow_fixed_unpack(winnow_level level, const winnow_packed *packed, size_t output, float *row) {
    const size_t outputs = winnow_panel_outputs(level);
    for (size_t run = 0; run < winnow_fixed_runs(packed->inputs); run++) {
        const int16_t *weights = weights_of(packed, outputs, output, run);
        const float scale = scale_of(packed, outputs, output, run);
        for (size_t p = 0; p < run_inputs(packed->inputs, run); p++)
            *row++ = weights[p / 2 * 2 * outputs + p % 2] * scale;
    }
}

// --- Products

// Plain loops: a whole sum for each run, then Float32.
static void product_reference(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                              const int16_t *rows, const float *row_scales, float *c, size_t ldc, int accumulate) {
    const size_t outputs = winnow_panel_outputs(level), runs = winnow_fixed_runs(packed->inputs);
    for (size_t output = first * outputs; output < end * outputs && output < packed->outputs; output++)
        for (size_t r = 0; r < m; r++) {
            float *to = c + r * ldc + output, sum = accumulate ? *to : 0;
            for (size_t run = 0; run < runs; run++) {
                const size_t used = run_inputs(packed->inputs, run);
                const int16_t *row = rows + run * winnow_fixed_run * m + r * winnow_fixed_values(used);
                const int16_t *weights = weights_of(packed, outputs, output, run);
                int32_t whole = 0;
                for (size_t p = 0; p < used; p++) whole += row[p] * weights[p / 2 * 2 * outputs + p % 2];
                sum += (float)whole * (row_scales[run * m + r] * scale_of(packed, outputs, output, run));
            }
            *to = sum;
        }
}

#if defined(__x86_64__)

enum { lanes = 8, panel_outputs = 16, tile_rows = 6 };

// Rows go by in blocks whose run stays in the second cache; a run of a panel stays in the first.
enum { block_rows = 384 };

#define INLINE_BODY static inline __attribute__((always_inline)) WINNOW_AVX2

// c[16] (+)= a row's sums by their scales.
INLINE_BODY void put(const __m256i sums[2], const float *row_scale, const float *scales, float *c, size_t columns,
                     int accumulate) {
    const f8 scale = f8_broadcast(row_scale);
    f8 low = f8_multiply(i8_floats(sums[0]), f8_multiply(scale, f8_load(scales)));
    f8 high = f8_multiply(i8_floats(sums[1]), f8_multiply(scale, f8_load(scales + lanes)));
    if (columns == panel_outputs) {
        if (accumulate) {
            low = f8_add(low, f8_load(c));
            high = f8_add(high, f8_load(c + lanes));
        }
        f8_store(c, low);
        f8_store(c + lanes, high);
    } else {
        float values[panel_outputs];
        f8_store(values, low);
        f8_store(values + lanes, high);
        for (size_t j = 0; j < columns; j++) c[j] = values[j] + (accumulate ? c[j] : 0);
    }
}

// c[count][16] (+)= one run of `count` rows, `width` values each, by one of a panel.
INLINE_BODY void tile(const int count, const int16_t *rows, size_t width, const float *row_scales,
                      const int16_t *panel, const float *scales, float *c, size_t ldc, size_t columns, int accumulate) {
    __m256i sums[tile_rows][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++) {
        sums[r][0] = sums[r][1] = i8_zero();
        __builtin_prefetch(c + (size_t)r * ldc, 1);
    }
    for (size_t pair = 0; pair < width / 2; pair++) {
        const int16_t *from = panel + pair * 2 * panel_outputs;
        __m256i low = i8_load(from), high = i8_load(from + panel_outputs);
#pragma clang loop unroll(full)
        for (int r = 0; r < count; r++) {
            int32_t both;
            memcpy(&both, rows + (size_t)r * width + 2 * pair, sizeof both);
            sums[r][0] = i8_add_pair_products(sums[r][0], i8_all(both), low);
            sums[r][1] = i8_add_pair_products(sums[r][1], i8_all(both), high);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++)
        put(sums[r], row_scales + r, scales, c + (size_t)r * ldc, columns, accumulate);
}

// What `count` rows are multiplied with: a run of a panel, and what will be next.
typedef struct {
    const int16_t *panel, *next;
    const float *scales;
    // Values of a row, and outputs that exist.
    size_t width, columns;
} panel_run;

// The weights of one run of one panel.
static panel_run run_of(const winnow_packed *packed, size_t panel, size_t run) {
    const size_t inputs = packed->inputs, whole = winnow_fixed_values(inputs) * panel_outputs;
    const size_t left = packed->outputs - panel * panel_outputs;
    const int16_t *from = (const int16_t *)packed->panels + panel * whole + run * winnow_fixed_run * panel_outputs;
    return (panel_run){.panel = from,
                       .next = from + whole,
                       .scales = packed->scales + (panel * winnow_fixed_runs(inputs) + run) * panel_outputs,
                       .width = winnow_fixed_values(run_inputs(inputs, run)),
                       .columns = left < panel_outputs ? left : panel_outputs};
}

// A few rows by `panels` panels side by side: the weights are read once, and so many streams of them come faster from
// memory than one. Four and more rows take the time that one stream takes, if what comes next is asked for early.
INLINE_BODY void few_tile(const int count, const int panels, const winnow_packed *packed, size_t panel, size_t run,
                          const int16_t *rows, const float *row_scales, float *c, size_t ldc, int accumulate) {
    __m256i sums[tile_rows][4][2];
    panel_run of[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < panels; i++) {
        of[i] = run_of(packed, panel + (size_t)i, run);
#pragma clang loop unroll(full)
        for (int r = 0; r < count; r++) sums[r][i][0] = sums[r][i][1] = i8_zero();
    }
    const size_t width = of[0].width;
    for (size_t pair = 0; pair < width / 2; pair++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < panels; i++) {
            const int16_t *from = of[i].panel + pair * 2 * panel_outputs;
            if (count > 2) __builtin_prefetch(from + 2048);
            __m256i low = i8_load(from), high = i8_load(from + panel_outputs);
#pragma clang loop unroll(full)
            for (int r = 0; r < count; r++) {
                int32_t both;
                memcpy(&both, rows + (size_t)r * width + 2 * pair, sizeof both);
                sums[r][i][0] = i8_add_pair_products(sums[r][i][0], i8_all(both), low);
                sums[r][i][1] = i8_add_pair_products(sums[r][i][1], i8_all(both), high);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < panels; i++)
#pragma clang loop unroll(full)
        for (int r = 0; r < count; r++)
            put(sums[r][i], row_scales + r, of[i].scales, c + (size_t)r * ldc + i * panel_outputs, of[i].columns,
                accumulate);
}

// A few rows by panels first ..< end, in the order the weights lie in.
WINNOW_AVX2 static void few_rows(const winnow_packed *packed, size_t first, size_t end, size_t m, const int16_t *rows,
                                 const float *row_scales, float *c, size_t ldc, int accumulate) {
    const size_t inputs = packed->inputs, runs = winnow_fixed_runs(inputs);
    const size_t step = m == 1 ? 4 : m == 2 ? 3 : m == 3 ? 2 : 1;
    for (size_t panel = first, panels; panel < end; panel += panels) {
        panels = end - panel < step ? 1 : step;
        for (size_t run = 0; run < runs; run++)
            for (size_t row = 0; row < m; row += tile_rows) {
                const size_t count = m - row < tile_rows ? m - row : tile_rows;
                const size_t width = winnow_fixed_values(run_inputs(inputs, run));
                const int16_t *from = rows + run * winnow_fixed_run * m + row * width;
                float *to = c + row * ldc + panel * panel_outputs;
#define FEW(count, panels)                                                                                             \
    few_tile(count, panels, packed, panel, run, from, row_scales + run * m + row, to, ldc, accumulate || run > 0)
                switch (10 * count + panels) {
                    case 14: FEW(1, 4); break;
                    case 11: FEW(1, 1); break;
                    case 23: FEW(2, 3); break;
                    case 21: FEW(2, 1); break;
                    case 32: FEW(3, 2); break;
                    case 31: FEW(3, 1); break;
                    case 41: FEW(4, 1); break;
                    case 51: FEW(5, 1); break;
                    default: FEW(6, 1);
                }
#undef FEW
            }
    }
}

#define TILE(n) tile(n, rows, of.width, row_scales, of.panel, of.scales, c, ldc, of.columns, accumulate)

WINNOW_AVX2 static void many_tiles(size_t count, const int16_t *rows, const float *row_scales, panel_run of, float *c,
                                   size_t ldc, int accumulate) {
    // The next weights come into the second cache meanwhile, some lines with every tile.
    const size_t lines = of.width * panel_outputs / 32, share = lines * tile_rows / count + 1;
    size_t fetched = 0;
#define TILES(n)                                                                                          \
    for (; count >= n; count -= n, rows += n * of.width, row_scales += n, c += n * ldc) TILE(n)
    for (; count >= tile_rows; count -= tile_rows) {
        for (size_t end = fetched + share; fetched < end && fetched < lines; fetched++)
            __builtin_prefetch(of.next + fetched * 32, 0, 2);
        TILE(tile_rows);
        rows += tile_rows * of.width;
        row_scales += tile_rows;
        c += tile_rows * ldc;
    }
    TILES(4);
    TILES(3);
    TILES(2);
    TILES(1);
#undef TILES
}

WINNOW_AVX2 static void product_avx2(const winnow_packed *packed, size_t first, size_t end, size_t m,
                                     const int16_t *rows, const float *row_scales, float *c, size_t ldc,
                                     int accumulate) {
    const size_t runs = winnow_fixed_runs(packed->inputs);
    if (m <= 2 * tile_rows) {
        few_rows(packed, first, end, m, rows, row_scales, c, ldc, accumulate);
        return;
    }
    // Blocks of equal size, each a multiple of the tile but the last.
    const size_t blocks = (m + block_rows - 1) / block_rows;
    const size_t block = ((m + blocks - 1) / blocks + tile_rows - 1) / tile_rows * tile_rows;
    for (size_t row = 0; row < m; row += block)
        for (size_t run = 0; run < runs; run++)
            for (size_t panel = first; panel < end; panel++) {
                const panel_run of = run_of(packed, panel, run);
                many_tiles(m - row < block ? m - row : block, rows + run * winnow_fixed_run * m + row * of.width,
                           row_scales + run * m + row, of, c + row * ldc + panel * panel_outputs, ldc,
                           accumulate || run > 0);
            }
}

#endif

void winnow_fixed_product(winnow_level level, const winnow_packed *packed, size_t first, size_t end, size_t m,
                          const int16_t *rows, const float *row_scales, float *c, size_t ldc, int accumulate) {
#if defined(__x86_64__)
    if (level == winnow_level_avx2) {
        product_avx2(packed, first, end, m, rows, row_scales, c, ldc, accumulate);
        return;
    }
#endif
    product_reference(level, packed, first, end, m, rows, row_scales, c, ldc, accumulate);
}
