// Packed products for one vector width; included by packed.c once per width.
//
// The including file defines: NAME(x), TARGET, F(x), VECTOR, I(x), INTEGERS, LANES, BF16 (whether products of bf16
// weights are wanted) and TILE (their rows at once).
//
// bf16 panels: [inputs][LANES] pairs, lane j holds outputs j (low half) and j + LANES (high half), so that a shift and
// a mask widen them. int8 panels: [quads][PANEL][4], four inputs of an output side by side.

#define PANEL (2 * LANES)
#define INLINE_BODY static inline __attribute__((always_inline)) TARGET

// Writes a tile's row, or the part of it that exists.
INLINE_BODY void NAME(put)(float *c, VECTOR low, VECTOR high, size_t columns, int accumulate) {
    if (columns == PANEL) {
        if (accumulate) {
            low = F(add)(low, F(load)(c));
            high = F(add)(high, F(load)(c + LANES));
        }
        F(store)(c, low);
        F(store)(c + LANES, high);
    } else {
        float values[PANEL];
        F(store)(values, low);
        F(store)(values + LANES, high);
        for (size_t j = 0; j < columns; j++) c[j] = accumulate ? c[j] + values[j] : values[j];
    }
}

// --- bf16

#if BF16

// c[rows][PANEL] (+)= x[rows][depth] . panel[depth][PANEL], the panel widened already.
INLINE_BODY void NAME(wide_tile)(const int rows, const float *x, size_t ldx, const float *panel, size_t depth, float *c,
                                 size_t ldc, size_t columns, int accumulate) {
    VECTOR sums[TILE][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = F(zero)();
    for (size_t p = 0; p < depth; p++) {
        VECTOR low = F(load)(panel + p * PANEL), high = F(load)(panel + p * PANEL + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            VECTOR value = F(broadcast)(x + (size_t)r * ldx + p);
            sums[r][0] = F(fma)(value, low, sums[r][0]);
            sums[r][1] = F(fma)(value, high, sums[r][1]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) NAME(put)(c + (size_t)r * ldc, sums[r][0], sums[r][1], columns, accumulate);
}

// The same for a few rows, widening as it goes: weights are read once, at the speed of memory. `chains` sums side by side
// hide the latency of the additions.
INLINE_BODY void NAME(few_tile)(const int rows, const int chains, const float *x, size_t ldx, const uint16_t *panel,
                                size_t depth, float *c, size_t ldc, size_t columns, int accumulate) {
    VECTOR sums[4][4][2];
#pragma clang loop unroll(full)
    for (int i = 0; i < chains; i++)
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) sums[i][r][0] = sums[i][r][1] = F(zero)();
    size_t p = 0;
    for (; p + (size_t)chains <= depth; p += (size_t)chains) {
#pragma clang loop unroll(full)
        for (int i = 0; i < chains; i++) {
            const uint16_t *from = panel + (p + (size_t)i) * PANEL;
            // The CPU's own prefetching stops at pages.
            __builtin_prefetch(from + 2048);
            VECTOR low = F(low_halves)(from), high = F(high_halves)(from);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) {
                VECTOR value = F(broadcast)(x + (size_t)r * ldx + p + (size_t)i);
                sums[i][r][0] = F(fma)(value, low, sums[i][r][0]);
                sums[i][r][1] = F(fma)(value, high, sums[i][r][1]);
            }
        }
    }
    for (; p < depth; p++) {
        VECTOR low = F(low_halves)(panel + p * PANEL), high = F(high_halves)(panel + p * PANEL);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            VECTOR value = F(broadcast)(x + (size_t)r * ldx + p);
            sums[0][r][0] = F(fma)(value, low, sums[0][r][0]);
            sums[0][r][1] = F(fma)(value, high, sums[0][r][1]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        VECTOR low = sums[0][r][0], high = sums[0][r][1];
#pragma clang loop unroll(full)
        for (int i = 1; i < chains; i++) {
            low = F(add)(low, sums[i][r][0]);
            high = F(add)(high, sums[i][r][1]);
        }
        NAME(put)(c + (size_t)r * ldc, low, high, columns, accumulate);
    }
}

TARGET static void NAME(few_rows)(size_t m, const float *x, size_t ldx, const uint16_t *panel, size_t depth, float *c,
                                  size_t ldc, size_t columns, int accumulate) {
    switch (m) {
        case 4: NAME(few_tile)(4, 1, x, ldx, panel, depth, c, ldc, columns, accumulate); break;
        case 3: NAME(few_tile)(3, 1, x, ldx, panel, depth, c, ldc, columns, accumulate); break;
        case 2: NAME(few_tile)(2, 2, x, ldx, panel, depth, c, ldc, columns, accumulate); break;
        default: NAME(few_tile)(1, 4, x, ldx, panel, depth, c, ldc, columns, accumulate);
    }
}

TARGET static void NAME(many_rows)(size_t m, const float *x, size_t ldx, const float *panel, size_t depth, float *c,
                                   size_t ldc, size_t columns, int accumulate) {
#define TILES(n)                                                    \
    for (; m >= n; m -= n, x += n * ldx, c += n * ldc)              \
    NAME(wide_tile)(n, x, ldx, panel, depth, c, ldc, columns, accumulate)
    TILES(TILE);
#if TILE > 8
    TILES(8);
#endif
    TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
}

// Up to this many rows, widening a panel beforehand costs more than it saves.
enum { NAME(few) = 12 };

// Rows go by in blocks of about 192, whose part of 512 inputs stays in the second cache; a widened part of a panel stays
// in the first.
enum { NAME(block_rows) = 192 / TILE * TILE, NAME(block_depth) = 512 };

TARGET static void NAME(bf16_product)(const winnow_packed *packed, size_t first, size_t end, size_t m, const float *x,
                                      size_t ldx, float *c, size_t ldc, int accumulate) {
    float wide[NAME(block_depth) * PANEL] __attribute__((aligned(64)));
    const uint16_t *weights = packed->panels;
    const size_t depth = packed->inputs;
    if (m <= NAME(few)) {
        for (size_t panel = first; panel < end; panel++) {
            size_t columns = packed->outputs - panel * PANEL < PANEL ? packed->outputs - panel * PANEL : PANEL;
            for (size_t row = 0; row < m; row += 4)
                NAME(few_rows)(m - row < 4 ? m - row : 4, x + row * ldx, ldx, weights + panel * depth * PANEL, depth,
                               c + row * ldc + panel * PANEL, ldc, columns, accumulate);
        }
        return;
    }
    // Blocks of equal size, each a multiple of the tile but the last.
    const size_t blocks = (m + NAME(block_rows) - 1) / NAME(block_rows);
    const size_t block = ((m + blocks - 1) / blocks + TILE - 1) / TILE * TILE;
    for (size_t row = 0; row < m; row += block) {
        size_t rows = m - row < block ? m - row : block;
        // A panel's columns of c are finished before the next panel's: they stay in the cache between parts of the depth.
        for (size_t panel = first; panel < end; panel++) {
            size_t columns = packed->outputs - panel * PANEL < PANEL ? packed->outputs - panel * PANEL : PANEL;
            for (size_t from = 0; from < depth; from += NAME(block_depth)) {
                size_t part = depth - from < NAME(block_depth) ? depth - from : NAME(block_depth);
                const uint16_t *narrow = weights + (panel * depth + from) * PANEL;
                for (size_t p = 0; p < part; p++) {
                    F(store)(wide + p * PANEL, F(low_halves)(narrow + p * PANEL));
                    F(store)(wide + p * PANEL + LANES, F(high_halves)(narrow + p * PANEL));
                }
                NAME(many_rows)(rows, x + row * ldx + from, ldx, wide, part, c + row * ldc + panel * PANEL, ldc, columns,
                                accumulate || from > 0);
            }
        }
    }
}

#endif

// --- int8

// c[rows][panels * PANEL] (+)= rows of bytes by panels side by side, `quads` * 4 inputs. Sums of 8 inputs at a time fit 16
// bits, as the packing has seen to. Several panels are several streams of weights, which come faster from memory than
// one.
INLINE_BODY void NAME(byte_tile)(const int rows, const int panels, const uint8_t *x, size_t ldx, const float *x_scales,
                                 const int8_t *weights, size_t quads, const float *scales, const int32_t *offsets,
                                 float *c, size_t ldc, size_t columns, int accumulate) {
    INTEGERS sums[3][4][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int i = 0; i < panels; i++) sums[r][i][0] = sums[r][i][1] = I(zero)();
    for (size_t q = 0; q < quads; q += 2) {
        INTEGERS one[3], two[3];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            one[r] = I(broadcast_quad)(x + (size_t)r * ldx + q * 4);
            two[r] = I(broadcast_quad)(x + (size_t)r * ldx + q * 4 + 4);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < panels; i++) {
            const int8_t *from = weights + ((size_t)i * quads + q) * 4 * PANEL;
            INTEGERS low = I(load)(from), high = I(load)(from + 4 * LANES);
            INTEGERS next_low = I(load)(from + 4 * PANEL), next_high = I(load)(from + 4 * PANEL + 4 * LANES);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) {
                sums[r][i][0] = I(add_pairs)(sums[r][i][0], I(products)(one[r], low, two[r], next_low));
                sums[r][i][1] = I(add_pairs)(sums[r][i][1], I(products)(one[r], high, two[r], next_high));
            }
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < panels; i++)
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const float *by = scales + i * PANEL;
            const int32_t *less = offsets + i * PANEL;
            VECTOR scale = F(all)(x_scales[r]);
            VECTOR low = F(multiply)(I(difference)(sums[r][i][0], less), F(multiply)(scale, F(load)(by)));
            VECTOR high =
                F(multiply)(I(difference)(sums[r][i][1], less + LANES), F(multiply)(scale, F(load)(by + LANES)));
            NAME(put)(c + (size_t)r * ldc + i * PANEL, low, high, i + 1 == panels ? columns : PANEL, accumulate);
        }
}

TARGET static void NAME(int8_product)(const winnow_packed *packed, size_t first, size_t end, size_t m, const uint8_t *x,
                                      const float *x_scales, float *c, size_t ldc, int accumulate) {
    const size_t bytes = winnow_quantized_bytes(packed->inputs), block = 192;
    const size_t step = m == 1 ? 4 : m == 2 ? 2 : 1;
    for (size_t row = 0; row < m; row += block) {
        size_t rows = m - row < block ? m - row : block;
        for (size_t panel = first, panels; panel < end; panel += panels) {
            panels = end - panel < step ? 1 : step;
            // Of the last of them.
            const size_t left = packed->outputs - (panel + panels - 1) * PANEL, columns = left < PANEL ? left : PANEL;
            const int8_t *weights = (const int8_t *)packed->panels + panel * bytes * PANEL;
            const float *scales = packed->scales + panel * PANEL;
            const int32_t *offsets = packed->offsets + panel * PANEL;
            size_t r = row, left_rows = rows;
#define TILES(n, panels)                                                                                           \
    for (; left_rows >= n; left_rows -= n, r += n)                                                                 \
    NAME(byte_tile)(n, panels, x + r * bytes, bytes, x_scales + r, weights, bytes / 4, scales, offsets,            \
                    c + r * ldc + panel * PANEL, ldc, columns, accumulate)
            if (panels == 4) {
                TILES(1, 4);
            } else if (panels == 2) {
                TILES(2, 2);
            } else {
                TILES(3, 1);
                TILES(2, 1);
                TILES(1, 1);
            }
#undef TILES
        }
    }
}

#undef PANEL
#undef INLINE_BODY
