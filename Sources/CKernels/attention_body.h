// Attention for one vector width and one way of multiplying; included by attention.c once per combination.
//
// Scores are computed transposed: a block of keys times a panel of 2 * LANES queries, so that every lane of a vector is
// one query. Maxima, masks and sums then need no shuffles, and the weights lie as the second product wants them.
//
// The including file defines: NAME(x), TARGET, F(x), VECTOR, LANES, TILE (keys or dims at once), PAIRS (1: an element
// is two 16-bit values and a step multiplies both; 0: an element is a Float32), FIXED (1: the pairs are
// integers, and every query, key and row of values has a scale, see attention_fixed.h; 0: the pairs are bf16) and BYTES (1,
// with FIXED: an element is four 8-bit values, see attention_bytes.h).

#include "attention_tiles.h"

// What a panel of queries remembers between blocks of keys.
typedef struct {
    float best[PANEL], sums[PANEL], scales[PANEL];
#if BYTES
    // Of each query, what takes the keys' bias back, and its score with the mean that is taken from keys.
    int32_t starts[PANEL];
    float offsets[PANEL];
#endif
    int32_t first[PANEL], limit[PANEL];
    // The range of all lanes, and the range that all lanes see.
    int32_t lowest, highest, common_first, common_limit;
} NAME(panel_state);

static size_t NAME(scratch)(size_t panels, size_t head_dim) {
    size_t block = BLOCK_KEYS + 1;
    return panels * (sizeof(NAME(panel_state)) + 2 * head_dim * PANEL * sizeof(float)) +
           2 * block * head_dim * sizeof(float) + block * PANEL * sizeof(float) +
           block * sizeof(winnow_key_scales) + 2 * head_dim * sizeof(float) + 11 * 64;
}

#if BYTES
#define STARTS(state) (state)->starts
#else
#define STARTS(state) NULL
#endif

INLINE_BODY void *NAME(take)(char **free, size_t bytes) {
    char *taken = *free;
    *free += (bytes + 63) / 64 * 64;
    return taken;
}

// Packs a panel's queries and says what its lanes see. The softmax works with powers of two: `factor` has log2 e in it.
TARGET static void NAME(load_panel)(const winnow_attention_task *task, size_t panel, float factor,
                                    NAME(panel_state) *state, const float *mean, ELEMENT *queries) {
    const size_t dim = task->head_dim, lanes = task->rows * task->heads;
    state->lowest = state->common_limit = INT32_MAX;
    state->highest = state->common_first = 0;
    (void)mean;
    for (size_t j = 0; j < PANEL; j++) {
        // Lanes beyond the last repeat it; their results are dropped.
        size_t lane = panel * PANEL + j < lanes ? panel * PANEL + j : lanes - 1;
        size_t row = lane / task->heads, head = lane % task->heads;
        const float *from = task->queries + row * task->query_stride + head * dim;
        ELEMENT *to = queries + j;
#if BYTES
        state->scales[j] = quads_of_query(from, dim, to, PANEL, state->starts + j) * factor;
        state->offsets[j] = product_with(mean, from, dim) * factor;
#elif FIXED
        const float scale = winnow_fixed_scale(winnow_sum_of_squares(from, dim), WINNOW_FIXED_NORM);
        fix_pairs(from, dim, winnow_fixed_inverse(scale), to, PANEL);
        state->scales[j] = scale * factor;
#elif PAIRS
        for (size_t p = 0; p < dim / 2; p++)
            to[p * PANEL] = winnow_bf16_bits(from[2 * p] * factor) |
                            (uint32_t)winnow_bf16_bits(from[2 * p + 1] * factor) << 16;
#else
        for (size_t p = 0; p < dim; p++) to[p * PANEL] = from[p] * factor;
#endif
        int32_t first = task->first[row], limit = task->limit[row];
        state->first[j] = first;
        state->limit[j] = limit;
        if (first < state->lowest) state->lowest = first;
        if (first > state->common_first) state->common_first = first;
        if (limit > state->highest) state->highest = limit;
        if (limit < state->common_limit) state->common_limit = limit;
        state->best[j] = UNSEEN;
        state->sums[j] = 0;
    }
}

TARGET static void NAME(attend)(const winnow_attention_task *task, void *scratch) {
    const size_t dim = task->head_dim, steps = dim / GROUP;
    const size_t lanes = task->rows * task->heads, panels = (lanes + PANEL - 1) / PANEL;
    char *free = scratch;
    NAME(panel_state) *states = NAME(take)(&free, panels * sizeof *states);
    ELEMENT *queries = NAME(take)(&free, panels * steps * PANEL * sizeof(ELEMENT));
    float *out = NAME(take)(&free, panels * dim * PANEL * sizeof(float));
    float *scores = NAME(take)(&free, (BLOCK_KEYS + 1) * PANEL * sizeof(float));
    ELEMENT *block_keys = NAME(take)(&free, (BLOCK_KEYS + 1) * dim * sizeof(float));
    ELEMENT *block_values = NAME(take)(&free, (BLOCK_KEYS + 1) * dim * sizeof(float));
    winnow_key_scales *scales = NAME(take)(&free, (BLOCK_KEYS + 1) * sizeof *scales);
    float *spare = NAME(take)(&free, dim * sizeof(float));
    const float factor = task->scale * 1.44269504f;
#if BYTES
    float *zeros = NAME(take)(&free, dim * sizeof(float));
    memset(zeros, 0, dim * sizeof *zeros);
    // Of the first block, which is whole where there is another: a row sees the same mean however a prompt is cut.
    int32_t last = 0;
    for (size_t row = 0; row < task->rows; row++) last = task->limit[row] > last ? task->limit[row] : last;
    mean_of_keys(task, last > BLOCK_KEYS ? BLOCK_KEYS : 0, spare);
#endif

    int32_t begin = INT32_MAX, end = 0;
    for (size_t panel = 0; panel < panels; panel++) {
        NAME(panel_state) *state = states + panel;
        NAME(load_panel)(task, panel, factor, state, spare, queries + panel * steps * PANEL);
        memset(out + panel * dim * PANEL, 0, dim * PANEL * sizeof(float));
        if (state->lowest < begin) begin = state->lowest;
        if (state->highest > end) end = state->highest;
    }

    // Blocks begin at multiples of their size: which keys of a row are weighed together does not depend on the rows it
    // comes with.
    const int32_t means = task->visible ? (int32_t)task->means : 0;
    int32_t from = begin - begin % BLOCK_KEYS, to;
    // After the keys that are seen, the means of the others.
    for (int are_means = 0;; from = to) {
        if (!are_means && (to = visible_run(task, &from, end, BLOCK_KEYS)) <= from) {
            are_means = 1;
            from = 0;
        }
        if (are_means) {
            if (from >= means) break;
            to = means - from < BLOCK_KEYS ? means : from + BLOCK_KEYS;
        }
        const void *all_keys = are_means ? task->mean_keys : task->keys;
        const void *all_values = are_means ? task->mean_values : task->values;
        const size_t count = (size_t)(to - from);
        const ELEMENT *keys, *values;
#if BYTES
        const int is_centred = !are_means && from >= BLOCK_KEYS;
        quads_of_keys((const uint16_t *)all_keys + (size_t)from * dim, count, dim, is_centred ? spare : zeros, block_keys,
                      scales);
        quads_of_values((const uint16_t *)all_values + (size_t)from * dim, count, dim, zeros, block_values, scales, scores);
        keys = block_keys;
        values = block_values;
#elif FIXED
        fix_keys((const uint16_t *)all_keys + (size_t)from * dim, dim, count, dim, block_keys, scales, spare);
        fix_values((const uint16_t *)all_values + (size_t)from * dim, count, dim, block_values, scales);
        keys = block_keys;
        values = block_values;
#elif PAIRS
        keys = (const ELEMENT *)((const uint16_t *)all_keys + (size_t)from * dim);
        winnow_interleave_rows((const uint16_t *)all_values + (size_t)from * dim, count, dim, block_values);
        (void)block_keys;
        values = block_values;
#else
        if (task->half) {
            NAME(widen)((const uint16_t *)all_keys + (size_t)from * dim, block_keys, count * dim);
            NAME(widen)((const uint16_t *)all_values + (size_t)from * dim, block_values, count * dim);
            keys = block_keys;
            values = block_values;
        } else {
            keys = (const float *)all_keys + (size_t)from * dim;
            values = (const float *)all_values + (size_t)from * dim;
        }
#endif
        for (size_t panel = 0; panel < panels; panel++) {
            NAME(panel_state) *state = states + panel;
            int32_t low = state->lowest > from && !are_means ? state->lowest : from;
            const int32_t high = state->highest < to && !are_means ? state->highest : to;
            if (low >= high) continue;
            // Pairs of keys begin where the run does.
            low -= (low - from) % GROUP;
            const size_t skipped = (size_t)(low - from), used = (size_t)(high - low);
            VECTOR before[2] = {F(load)(state->best), F(load)(state->best + LANES)};
#if FIXED
            // The block's own largest score, so that its integer weights have all their bits.
            const VECTOR least[2] = {F(all)(UNSEEN), F(all)(UNSEEN)};
#else
            const VECTOR *least = before;
#endif
            VECTOR best[2] = {least[0], least[1]};
            NAME(scores)(used, keys + skipped * steps, steps, queries + panel * steps * PANEL, steps,
                         scales + skipped, state->scales, STARTS(state), scores, best);
            if (are_means) {
                best[0] = least[0];
                best[1] = least[1];
                NAME(count_means)(scores, used, task->visible + from, log2f((float)task->block_keys), best);
            } else if (low < state->common_first || high > state->common_limit) {
                best[0] = least[0];
                best[1] = least[1];
                NAME(mask)(scores, used, low, 1, state->first, state->limit, best);
            }
            VECTOR sums[2];
            NAME(weights)(scores, used, scales + skipped, best, sums);
            VECTOR correction[2], share[2];
            for (int half = 0; half < 2; half++) {
#if FIXED
                VECTOR own = best[half];
#if BYTES
                if (is_centred) own = F(add)(own, F(load)(state->offsets + half * LANES));
#endif
                best[half] = F(maximum)(before[half], own);
                share[half] = NAME(power)(F(subtract)(own, best[half]));
                sums[half] = F(multiply)(sums[half], share[half]);
                share[half] = F(multiply)(share[half], F(all)(1 / WEIGHT_UNIT));
#else
                share[half] = F(all)(1);
#endif
                correction[half] = NAME(power)(F(subtract)(before[half], best[half]));
                F(store)(state->best + half * LANES, best[half]);
                F(store)(state->sums + half * LANES,
                         F(fma)(F(load)(state->sums + half * LANES), correction[half], sums[half]));
            }
            NAME(weigh)(dim, values + skipped / GROUP * dim, dim, (const ELEMENT *)scores,
                        (used + GROUP - 1) / GROUP, share, out + panel * dim * PANEL, correction);
        }
    }

    for (size_t lane = 0; lane < lanes; lane++) {
        const size_t panel = lane / PANEL, j = lane % PANEL;
        const float *from = out + panel * dim * PANEL + j;
        const float share = 1.0f / states[panel].sums[j];
        float *to = task->output + lane / task->heads * task->output_stride + lane % task->heads * dim;
        for (size_t i = 0; i < dim; i++) to[i] = from[i * PANEL] * share;
    }
}

#if !BYTES
// See winnow_block_weights.
TARGET static void NAME(block_weights)(const winnow_attention_task *task, winnow_sampled_keys sampled, void *scratch,
                                       float *block_sums, float *weights) {
    const size_t dim = task->head_dim, steps = dim / GROUP;
    const size_t lanes = task->rows * task->heads, panels = (lanes + PANEL - 1) / PANEL;
    char *free = scratch;
    NAME(panel_state) *states = NAME(take)(&free, panels * sizeof *states);
    ELEMENT *queries = NAME(take)(&free, panels * steps * PANEL * sizeof(ELEMENT));
    float *scores = NAME(take)(&free, (BLOCK_KEYS + 1) * PANEL * sizeof(float));
    ELEMENT *block_keys = NAME(take)(&free, (BLOCK_KEYS + 1) * dim * sizeof(float));
    winnow_key_scales *scales = NAME(take)(&free, (BLOCK_KEYS + 1) * sizeof *scales);
    float *spare = NAME(take)(&free, dim * sizeof(float));
    (void)block_keys, (void)spare;
    int32_t end = 0;
    for (size_t panel = 0; panel < panels; panel++) {
        NAME(load_panel)(task, panel, task->scale * 1.44269504f, states + panel, spare,
                         queries + panel * steps * PANEL);
        if (states[panel].highest > end) end = states[panel].highest;
    }
    // Values have no scales here.
    for (size_t key = 0; key <= BLOCK_KEYS; key++) scales[key].value_log = 0, scales[key].value_inverse = 1;

    // Of each block, panel and lane the largest score and the sum over it.
    const int32_t size = task->block_keys;
    const size_t blocks = (size_t)((end + size - 1) / size);
    for (size_t block = 0; block < blocks; block++) {
        const int32_t from = (int32_t)block * size + sampled.first, to = end - from < size ? end : from + size;
        const size_t count = to > from ? (size_t)(to - from + sampled.step - 1) / (size_t)sampled.step : 0;
        const uint16_t *halves = (const uint16_t *)task->keys + (size_t)from * dim;
        const size_t apart = (size_t)sampled.step * dim;
        const ELEMENT *keys = block_keys;
        size_t stride = steps;
#if FIXED
        fix_keys(halves, apart, count, dim, block_keys, scales, spare);
#elif PAIRS
        keys = (const ELEMENT *)halves;
        stride = apart / GROUP;
#else
        if (task->half) {
            for (size_t key = 0; key < count; key++) NAME(widen)(halves + key * apart, block_keys + key * dim, dim);
        } else {
            keys = (const float *)task->keys + (size_t)from * dim;
            stride = apart;
        }
#endif
        for (size_t panel = 0; panel < panels; panel++) {
            NAME(panel_state) *state = states + panel;
            VECTOR best[2] = {F(all)(UNSEEN), F(all)(UNSEEN)}, sums[2];
            NAME(scores)(count, keys, stride, queries + panel * steps * PANEL, steps, scales, state->scales, STARTS(state),
                         scores, best);
            if (from < state->common_first || to > state->common_limit) {
                best[0] = best[1] = F(all)(UNSEEN);
                NAME(mask)(scores, count, from, sampled.step, state->first, state->limit, best);
            }
            NAME(weights)(scores, count, scales, best, sums);
            float *at = block_sums + (block * panels + panel) * 2 * PANEL;
            for (int half = 0; half < 2; half++) {
                F(store)(at + half * LANES, best[half]);
                F(store)(at + PANEL + half * LANES, sums[half]);
                F(store)(state->best + half * LANES, F(maximum)(F(load)(state->best + half * LANES), best[half]));
            }
        }
    }

    memset(weights, 0, blocks * sizeof *weights);
    for (size_t panel = 0; panel < panels; panel++) {
        NAME(panel_state) *state = states + panel;
        const VECTOR best[2] = {F(load)(state->best), F(load)(state->best + LANES)};
        VECTOR total[2] = {F(zero)(), F(zero)()}, share[2];
        for (size_t block = 0; block < blocks; block++) {
            float *at = block_sums + (block * panels + panel) * 2 * PANEL;
            for (int half = 0; half < 2; half++) {
                VECTOR factor = NAME(power)(F(subtract)(F(load)(at + half * LANES), best[half]));
                VECTOR sum = F(multiply)(F(load)(at + PANEL + half * LANES), factor);
                F(store)(at + half * LANES, sum);
                total[half] = F(add)(total[half], sum);
            }
        }
        F(store)(state->sums, total[0]);
        F(store)(state->sums + LANES, total[1]);
        for (size_t j = 0; j < PANEL; j++) {
            const int sees = panel * PANEL + j < lanes && !(state->best[j] <= UNSEEN);
            state->sums[j] = sees ? 1 / (state->sums[j] * (float)lanes) : 0;
        }
        for (int half = 0; half < 2; half++) share[half] = F(load)(state->sums + half * LANES);
        for (size_t block = 0; block < blocks; block++) {
            const float *at = block_sums + (block * panels + panel) * 2 * PANEL;
            weights[block] += F(sum)(F(fma)(F(load)(at), share[0], F(multiply)(F(load)(at + LANES), share[1])));
        }
    }
}

#endif

#undef PANEL
#undef BLOCK_KEYS
#undef ELEMENT
#undef SUM
#undef NO_SUM
#undef STEP
#undef WEIGH_STEP
#undef GROUP
#undef STARTS
#undef OPERAND
#undef LOAD_OPERAND
#undef INLINE_BODY
#undef UNSEEN
#undef WEIGHT_UNIT
