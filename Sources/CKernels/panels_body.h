// Sums of products of a few rows with panels, for one kind of numbers; included by panels.c once per kind.
//
// The including file defines: NAME(x), TARGET, ELEMENT (of weights and rows: a step multiplies 4 bytes of them), SUM (of
// a lane), VECTOR (16 sums), LOAD(p), STORE(p, v) and STEP(sums, row, weights).

#define IN_STEP (4 / sizeof(ELEMENT))
#define INLINE_BODY static inline __attribute__((always_inline)) TARGET

// sums[rows][64] += x[rows][steps] . weights[steps][64]. The row's numbers of a step go to all lanes. `ahead` is what is
// read next, brought into the second cache meanwhile.
INLINE_BODY void NAME(tile)(const int rows, const ELEMENT *x, size_t ldx, const ELEMENT *weights, size_t steps,
                            const char *ahead, SUM *sums) {
    VECTOR all[most_tile_rows][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) all[r][j] = LOAD(sums + r * winnow_panel_width + 16 * j);
    for (size_t p = 0; p < steps; p++) {
        const ELEMENT *at = weights + p * winnow_panel_width * IN_STEP;
        __m512i w[4];
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) {
            w[j] = _mm512_load_si512(at + 16 * IN_STEP * (size_t)j);
            __builtin_prefetch(ahead + p * 256 + 64 * j, 0, 2);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            int32_t numbers;
            memcpy(&numbers, x + (size_t)r * ldx + p * IN_STEP, sizeof numbers);
            const __m512i row = _mm512_set1_epi32(numbers);
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) all[r][j] = STEP(all[r][j], row, w[j]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) STORE(sums + r * winnow_panel_width + 16 * j, all[r][j]);
}

TARGET static void NAME(rows)(size_t rows, const ELEMENT *x, size_t ldx, const ELEMENT *weights, size_t steps,
                              const char *ahead, SUM *sums) {
    switch (rows) {
        case 6: NAME(tile)(6, x, ldx, weights, steps, ahead, sums); break;
        case 5: NAME(tile)(5, x, ldx, weights, steps, ahead, sums); break;
        case 4: NAME(tile)(4, x, ldx, weights, steps, ahead, sums); break;
        case 3: NAME(tile)(3, x, ldx, weights, steps, ahead, sums); break;
        case 2: NAME(tile)(2, x, ldx, weights, steps, ahead, sums); break;
        default: NAME(tile)(1, x, ldx, weights, steps, ahead, sums);
    }
}

// sums[m][64] = x[m] . the panel's steps from ..< end. Rows that are more than a tile take turns on a part of the panel
// that stays in the first cache, so that memory is read once.
TARGET static void NAME(run)(const ELEMENT *panel, size_t from, size_t end, size_t inputs, size_t m, const ELEMENT *x,
                             size_t ldx, SUM *sums) {
    const size_t tiles = (m + most_tile_rows - 1) / most_tile_rows, rows = (m + tiles - 1) / tiles;
    const size_t whole = inputs / IN_STEP, last = end < whole ? end : whole;
    const size_t part = tiles > 1 ? part_steps : last - from;
    memset(sums, 0, m * winnow_panel_width * sizeof *sums);
    for (size_t steps; from < last; from += steps) {
        steps = last - from < part ? last - from : part;
        const ELEMENT *weights = panel + from * winnow_panel_width * IN_STEP;
        const char *ahead = (const char *)weights + (tiles > 1 ? part_steps * 256 : prefetched);
        for (size_t r = 0; r < m; r += rows)
            NAME(rows)(m - r < rows ? m - r : rows, x + r * ldx + from * IN_STEP, ldx, weights, steps, ahead,
                       sums + r * winnow_panel_width);
    }
    if (end > whole)  // What lies behind the row is not its own.
        for (size_t r = 0; r < m; r++) {
            ELEMENT rest[IN_STEP] = {0};
            memcpy(rest, x + r * ldx + whole * IN_STEP, inputs % IN_STEP * sizeof *rest);
            NAME(rows)(1, rest, 0, panel + whole * winnow_panel_width * IN_STEP, 1, (const char *)panel,
                       sums + r * winnow_panel_width);
        }
}

// sums[m][64] = x[m] . the panel, run by run.
TARGET static void NAME(panel)(const ELEMENT *panel, size_t inputs, size_t m, const ELEMENT *x, size_t ldx, SUM *sums) {
    SUM more[winnow_panel_rows * winnow_panel_width] __attribute__((aligned(64)));
    const size_t steps = (inputs + IN_STEP - 1) / IN_STEP, run = RUN_STEPS;
    for (size_t from = 0; from < steps; from += run) {
        const size_t end = steps - from < run ? steps : from + run;
        NAME(run)(panel, from, end, inputs, m, x, ldx, from == 0 ? sums : more);
        if (from > 0)
            for (size_t i = 0; i < m * winnow_panel_width; i++) sums[i] = more[i] + sums[i];
    }
}

#undef IN_STEP
#undef INLINE_BODY
