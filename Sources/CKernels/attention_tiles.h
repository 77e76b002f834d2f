// Tiles of attention for one vector width and one way of multiplying: scores, their mask, weights, and weighed values.
// Included by attention_body.h, which says what the including file defines and takes the macros back.

#define PANEL (2 * LANES)
#define BLOCK_KEYS (16 * TILE)

#if BYTES
#define ELEMENT uint32_t
#define GROUP 4
#define SUM INTEGERS
#define NO_SUM I(zero)()
// Keys and weights are unsigned, queries and values are not.
#define STEP(to, key, queries) _mm512_dpbusd_epi32(to, _mm512_set1_epi32((int)*(key)), queries)
#define WEIGH_STEP(to, value, weights) _mm512_dpbusd_epi32(to, weights, _mm512_set1_epi32((int)*(value)))
#define OPERAND INTEGERS
#define LOAD_OPERAND(p) I(load)(p)
#define WEIGHT_UNIT 255.0f
#elif FIXED
#define GROUP 2
#define ELEMENT uint32_t
#define SUM INTEGERS
#define NO_SUM I(zero)()
#define STEP(to, a, b) I(add_pair_products)(to, I(all)((int32_t)*(a)), b)
#define OPERAND INTEGERS
#define LOAD_OPERAND(p) I(load)(p)
// A block's largest weight is 1, or this as an integer. With a whole block of weights and values, sums stay in 32 bits.
#define WEIGHT_UNIT 5400.0f
#elif PAIRS
#define GROUP 2
#define ELEMENT uint32_t
#define SUM VECTOR
#define NO_SUM F(zero)()
#define STEP(to, a, b) _mm512_dpbf16_ps(to, (__m512bh)_mm512_set1_epi32((int)*(a)), (__m512bh)(b))
#define OPERAND __m512i
#define LOAD_OPERAND(p) _mm512_loadu_si512(p)
#else
#define GROUP 1
#define ELEMENT float
#define SUM VECTOR
#define NO_SUM F(zero)()
#define STEP(to, a, b) F(fma)(F(broadcast)(a), b, to)
#define OPERAND VECTOR
#define LOAD_OPERAND(p) F(load)(p)
#endif

#ifndef WEIGH_STEP
#define WEIGH_STEP STEP
#endif

#define INLINE_BODY static inline __attribute__((always_inline)) TARGET

// 2^x for x <= 0: minimax polynomial of degree 5, error below 2e-7 of it and 2^-126. 2^0 is 1 exactly, and 2^x is 0 from
// x = -126 down: keys that a lane sees nothing of must not change it, for whether they are computed depends on the lanes it
// comes with. A trace of them is enough to round a product of a bf16 value the other way, of which many lie halfway.
INLINE_BODY VECTOR NAME(power)(VECTOR x) {
    x = F(maximum)(F(all)(-126.0f), x);
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    VECTOR shifted = F(add)(x, F(all)(12582912.0f));
    VECTOR f = F(subtract)(x, F(subtract)(shifted, F(all)(12582912.0f)));
    VECTOR p = F(fma)(F(all)(0x1.5bb9f4p-10f), f, F(all)(0x1.3cea84p-7f));
    p = F(fma)(p, f, F(all)(0x1.c6b754p-5f));
    p = F(fma)(p, f, F(all)(0x1.ebf9bcp-3f));
    p = F(fma)(p, f, F(all)(0x1.62e42ap-1f));
    p = F(fma)(p, f, F(all)(1.0f));
    return F(subtract)(F(scale_exponent)(p, shifted), F(all)(0x1p-126f));
}

// scores[count][PANEL] = keys[count][steps] . panel[steps][PANEL], and the largest of each lane. FIXED: by the scales
// of the keys and of the panel's lanes, and with the logarithm of the scale of the key's values on top.
INLINE_BODY void NAME(score_tile)(const int count, const ELEMENT *keys, size_t stride, const ELEMENT *panel,
                                  size_t steps, const winnow_key_scales *scales, const float *lane_scales,
                                  const int32_t *starts, float *scores, VECTOR *best) {
    SUM sums[TILE][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++)
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++)
#if BYTES
            sums[r][half] = I(load)(starts + half * LANES);
#else
            sums[r][half] = NO_SUM;
#endif
    for (size_t p = 0; p < steps; p++) {
        OPERAND low = LOAD_OPERAND(panel + p * PANEL), high = LOAD_OPERAND(panel + p * PANEL + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < count; r++) {
            sums[r][0] = STEP(sums[r][0], keys + (size_t)r * stride + p, low);
            sums[r][1] = STEP(sums[r][1], keys + (size_t)r * stride + p, high);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++)
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
#if FIXED
            VECTOR scale = F(multiply)(F(broadcast)(&scales[r].key), F(load)(lane_scales + half * LANES));
            VECTOR score = F(fma)(I(floats)(sums[r][half]), scale, F(broadcast)(&scales[r].value_log));
#else
            VECTOR score = sums[r][half];
#endif
            best[half] = F(maximum)(best[half], score);
            F(store)(scores + r * PANEL + half * LANES, score);
        }
#if !FIXED
    (void)scales, (void)lane_scales;
#endif
    (void)starts;
}

TARGET static void NAME(scores)(size_t count, const ELEMENT *keys, size_t stride, const ELEMENT *panel, size_t steps,
                                const winnow_key_scales *scales, const float *lane_scales, const int32_t *starts,
                                float *scores, VECTOR best[2]) {
    VECTOR largest[2] = {best[0], best[1]};
#define TILES(n)                                                                                        \
    for (; count >= n; count -= n, keys += n * stride, scales += n, scores += n * PANEL)                \
    NAME(score_tile)(n, keys, stride, panel, steps, scales, lane_scales, starts, scores, largest)
    TILES(TILE);
#if TILE > 8
    TILES(8);
#endif
    TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
    best[0] = largest[0];
    best[1] = largest[1];
}

// out[count][PANEL] = out * correction + values[steps][count]^T . weights[steps][PANEL]. FIXED: the sums
// count for `share`.
INLINE_BODY void NAME(value_tile)(const int count, const ELEMENT *values, size_t stride, const ELEMENT *weights,
                                  size_t steps, const VECTOR *share, float *out, const VECTOR *correction) {
    SUM sums[TILE][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++)
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
#if FIXED
            sums[r][half] = NO_SUM;
#else
            sums[r][half] = F(multiply)(correction[half], F(load)(out + r * PANEL + half * LANES));
#endif
        }
    for (size_t p = 0; p < steps; p++) {
        OPERAND low = LOAD_OPERAND(weights + p * PANEL), high = LOAD_OPERAND(weights + p * PANEL + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < count; r++) {
            sums[r][0] = WEIGH_STEP(sums[r][0], values + p * stride + (size_t)r, low);
            sums[r][1] = WEIGH_STEP(sums[r][1], values + p * stride + (size_t)r, high);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++)
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            float *at = out + r * PANEL + half * LANES;
#if FIXED
            VECTOR before = F(multiply)(correction[half], F(load)(at));
            F(store)(at, F(fma)(I(floats)(sums[r][half]), share[half], before));
#else
            F(store)(at, sums[r][half]);
#endif
        }
#if !FIXED
    (void)share;
#endif
}

TARGET static void NAME(weigh)(size_t count, const ELEMENT *values, size_t stride, const ELEMENT *weights, size_t steps,
                               const VECTOR share[2], float *out, const VECTOR correction[2]) {
    VECTOR shares[2] = {share[0], share[1]}, factors[2] = {correction[0], correction[1]};
#define TILES(n)                                                        \
    for (; count >= n; count -= n, values += n, out += n * PANEL)       \
    NAME(value_tile)(n, values, stride, weights, steps, shares, out, factors)
    TILES(TILE);
#if TILE > 8
    TILES(8);
#endif
    TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
}

// Lanes that may not see a key get this score: low enough to weigh nothing, and finite, so that a lane that has seen
// nothing yet stays a number.
#define UNSEEN -1e30f

// Masks the scores of cache row `key`, and those `step` apart, by the lanes' first and limit, and finds the largest of each
// lane again.
TARGET static void NAME(mask)(float *scores, size_t count, int32_t key, int32_t step, const int32_t *first,
                              const int32_t *limit, VECTOR best[2]) {
    for (size_t i = 0; i < count; i++, key += step)
        for (int half = 0; half < 2; half++) {
            float *at = scores + i * PANEL + half * LANES;
            VECTOR x = F(select)(F(load)(at), F(all)(UNSEEN), key, first + half * LANES, limit + half * LANES);
            F(store)(at, x);
            best[half] = F(maximum)(best[half], x);
        }
}

// Of blocks' means: masks those of blocks that are seen, lets the others count for `keys` keys (its logarithm), and finds the
// largest of each lane again.
TARGET static void NAME(count_means)(float *scores, size_t count, const uint8_t *visible, float keys, VECTOR best[2]) {
    for (size_t i = 0; i < count; i++)
        for (int half = 0; half < 2; half++) {
            float *at = scores + i * PANEL + half * LANES;
            VECTOR x = visible[i] ? F(all)(UNSEEN) : F(add)(F(load)(at), F(all)(keys));
            F(store)(at, x);
            best[half] = F(maximum)(best[half], x);
        }
}

#if BYTES
// 2^x for x <= 0 to a part in 10,000: what 8 bits hold, and half of it. 2^0 is 1 exactly, and of a key that is not seen it is 0.
INLINE_BODY VECTOR NAME(weight)(VECTOR x) {
    // What x is above the next integer below, to which scalef rounds too.
    const VECTOR f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    VECTOR p = F(fma)(F(all)(0x1.3baaa6p-4f), f, F(all)(0x1.d2378ap-3f));
    p = F(fma)(p, f, F(all)(0x1.63e658p-1f));
    p = F(fma)(p, f, F(all)(1.0f));
    return _mm512_scalef_ps(p, x);
}

// Four keys' weights, 0...1, as bytes.
INLINE_BODY INTEGERS NAME(weight_quads)(const VECTOR w[4]) {
    // 2^23 + n has n in its low bits; the constant leaves by a shift, or by the last exclusive or.
    const VECTOR unit = F(all)(WEIGHT_UNIT), integer = F(all)(8388608.0f);
    INTEGERS n[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) n[i] = _mm512_castps_si512(F(fma)(w[i], unit, integer));
    INTEGERS three = _mm512_ternarylogic_epi32(n[0], _mm512_slli_epi32(n[1], 8), _mm512_slli_epi32(n[2], 16), 0x96);
    return _mm512_ternarylogic_epi32(three, _mm512_slli_epi32(n[3], 24), _mm512_set1_epi32(0x4b000000), 0x96);
}
#elif FIXED
INLINE_BODY INTEGERS NAME(weight_pairs)(VECTOR even, VECTOR odd) {
    const VECTOR unit = F(all)(WEIGHT_UNIT), round = F(all)(WINNOW_FIXED_ROUND);
    return I(low_halves)(F(fma)(even, unit, round), F(fma)(odd, unit, round));
}
#elif PAIRS
INLINE_BODY INTEGERS NAME(weight_pairs)(VECTOR even, VECTOR odd) {
    // Weights are not negative: adding half a unit and cutting off rounds to the nearest.
    const __m512i half_unit = _mm512_set1_epi32(0x8000);
    __m512i lower = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half_unit), 16);
    __m512i upper =
        _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(odd), half_unit), _mm512_set1_epi32((int)0xffff0000));
    return _mm512_or_si512(lower, upper);
}
#endif

// Scores to weights, 2^(score - best), in place; returns the sums by lane. PAIRS: two keys become one row of pairs. FIXED:
// a weight has the scale of its key's values in it, but not in the sums.
TARGET static void NAME(weights)(float *scores, size_t count, const winnow_key_scales *scales, const VECTOR best[2],
                                 VECTOR sums[2]) {
    VECTOR low = F(zero)(), high = F(zero)();
#if BYTES
    for (size_t i = count; i % GROUP != 0; i++) {  // weighs nothing
        F(store)(scores + i * PANEL, F(all)(UNSEEN));
        F(store)(scores + i * PANEL + LANES, F(all)(UNSEEN));
    }
    for (size_t i = 0; i < count; i += GROUP)
        for (int half = 0; half < 2; half++) {
            const float *at = scores + i * PANEL + half * LANES;
            VECTOR w[4], both = half ? high : low;
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) {
                w[j] = NAME(weight)(F(subtract)(F(load)(at + j * PANEL), best[half]));
                both = F(fma)(w[j], F(broadcast)(&scales[i + (size_t)j].value_inverse), both);
            }
            if (half) high = both;
            else low = both;
            I(store)((ELEMENT *)scores + i / GROUP * PANEL + half * LANES, NAME(weight_quads)(w));
        }
#elif PAIRS
    if (count % 2 == 1) {  // weighs nothing
        F(store)(scores + count * PANEL, F(all)(UNSEEN));
        F(store)(scores + count * PANEL + LANES, F(all)(UNSEEN));
    }
    for (size_t i = 0; i < count; i += 2)
        for (int half = 0; half < 2; half++) {
            const float *at = scores + i * PANEL + half * LANES;
            VECTOR even = NAME(power)(F(subtract)(F(load)(at), best[half]));
            VECTOR odd = NAME(power)(F(subtract)(F(load)(at + PANEL), best[half]));
#if FIXED
            VECTOR both = F(multiply)(even, F(broadcast)(&scales[i].value_inverse));
            both = F(fma)(odd, F(broadcast)(&scales[i + 1].value_inverse), both);
#else
            VECTOR both = F(add)(even, odd);
#endif
            if (half) high = F(add)(high, both);
            else low = F(add)(low, both);
            // Row i / 2 of the pairs is never beyond row i of the scores.
            I(store)((ELEMENT *)scores + i / 2 * PANEL + half * LANES, NAME(weight_pairs)(even, odd));
        }
#else
    for (size_t i = 0; i < count; i++) {
        float *at = scores + i * PANEL;
        VECTOR a = NAME(power)(F(subtract)(F(load)(at), best[0]));
        VECTOR b = NAME(power)(F(subtract)(F(load)(at + LANES), best[1]));
        F(store)(at, a);
        F(store)(at + LANES, b);
        low = F(add)(low, a);
        high = F(add)(high, b);
    }
#endif
    sums[0] = low;
    sums[1] = high;
#if !FIXED
    (void)scales;
#endif
}
