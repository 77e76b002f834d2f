// Scores and attention of a few queries, for one vector width; included by attention.c after attention_body.h. Here a
// vector holds neighbouring values of one head: no lane is left over however few queries there are.

static inline __attribute__((always_inline)) TARGET float NAME(dot)(const float *a, const float *b, size_t count) {
    VECTOR low = F(zero)(), high = F(zero)();
    size_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        low = F(fma)(F(load)(a + i), F(load)(b + i), low);
        high = F(fma)(F(load)(a + i + LANES), F(load)(b + i + LANES), high);
    }
    float sum = F(sum)(F(add)(low, high));
    for (; i < count; i++) sum += a[i] * b[i];
    return sum;
}

// Keys go by in blocks that are widened once and stay in the first cache for all queries.
TARGET static void NAME(dot_scores)(const float *queries, size_t rows, size_t head_dim, const void *keys, int half,
                                    size_t count, float scale, float *scores) {
    enum { most = 4096 };
    float wide[most];
    size_t block = most / head_dim ? most / head_dim : 1;
    for (size_t first = 0; first < count; first += block) {
        size_t these = count - first < block ? count - first : block;
        const float *from = (const float *)keys + first * head_dim;
        if (half) {
            NAME(widen)((const uint16_t *)keys + first * head_dim, wide, these * head_dim);
            from = wide;
        }
        for (size_t row = 0; row < rows; row++)
            for (size_t key = 0; key < these; key++)
                scores[row * count + first + key] =
                    NAME(dot)(queries + row * head_dim, from + key * head_dim, head_dim) * scale;
    }
}

// `width` vectors of what weigh_row gives. Keys take turns with two sums, whose additions need not wait for each other.
static inline __attribute__((always_inline)) TARGET void NAME(weigh_vectors)(const int width, const float *values,
                                                                             const float *weights, size_t count,
                                                                             size_t dim, float correction, float *out) {
    VECTOR sums[4], others[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < width; j++) {
        sums[j] = F(multiply)(F(all)(correction), F(load)(out + (size_t)j * LANES));
        others[j] = F(zero)();
    }
    size_t key = 0;
    for (; key + 2 <= count; key += 2, values += 2 * dim) {
        VECTOR even = F(broadcast)(weights + key), odd = F(broadcast)(weights + key + 1);
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) {
            sums[j] = F(fma)(even, F(load)(values + (size_t)j * LANES), sums[j]);
            others[j] = F(fma)(odd, F(load)(values + dim + (size_t)j * LANES), others[j]);
        }
    }
    if (key < count) {
        VECTOR weight = F(broadcast)(weights + key);
#pragma clang loop unroll(full)
        for (int j = 0; j < width; j++) sums[j] = F(fma)(weight, F(load)(values + (size_t)j * LANES), sums[j]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < width; j++) F(store)(out + (size_t)j * LANES, F(add)(sums[j], others[j]));
}

// out[dim] = out * correction + weights[count] . values[count][dim]
TARGET static void NAME(weigh_row)(const float *values, const float *weights, size_t count, size_t dim, float correction,
                                   float *out) {
    size_t i = 0;
#define WIDTH(n)                                 \
    for (; i + n * LANES <= dim; i += n * LANES) \
    NAME(weigh_vectors)(n, values + i, weights, count, dim, correction, out + i)
    WIDTH(4);
    WIDTH(2);
    WIDTH(1);
#undef WIDTH
    for (; i < dim; i++) {
        float sum = out[i] * correction;
        for (size_t key = 0; key < count; key++) sum += weights[key] * values[key * dim + i];
        out[i] = sum;
    }
}

// scores[count] = query . keys[count][dim] * factor, as many at a time as a vector has lanes; those up to a multiple of
// that weigh nothing. Returns the largest, which misses what is not a number.
TARGET static float NAME(score_row)(const float *query, const float *keys, size_t count, size_t dim, float factor,
                                    float *scores) {
    VECTOR best = F(all)(-1e30f);
    for (size_t key = 0; key < count; key += LANES, keys += LANES * dim, scores += LANES) {
        const size_t these = count - key < LANES ? count - key : LANES;
        VECTOR sums[LANES];
        float rest[LANES] = {0};
        size_t i = 0;
#pragma clang loop unroll(full)
        for (int j = 0; j < LANES; j++) sums[j] = F(zero)();
        if (these == LANES) {
            for (; i + LANES <= dim; i += LANES) {
                VECTOR part = F(load)(query + i);
#pragma clang loop unroll(full)
                for (int j = 0; j < LANES; j++) sums[j] = F(fma)(part, F(load)(keys + (size_t)j * dim + i), sums[j]);
            }
        } else {
            for (; i + LANES <= dim; i += LANES)
#pragma clang loop unroll(full)
                for (int j = 0; j < LANES; j++)
                    if ((size_t)j < these)
                        sums[j] = F(fma)(F(load)(query + i), F(load)(keys + (size_t)j * dim + i), sums[j]);
        }
        for (; i < dim; i++)
            for (size_t j = 0; j < these; j++) rest[j] += query[i] * keys[j * dim + i];
        F(store)(scores, F(multiply)(F(add)(F(sums)(sums), F(load)(rest)), F(all)(factor)));
        for (size_t j = these; j < LANES; j++) scores[j] = -1e30f;
        best = F(maximum)(F(load)(scores), best);
    }
    return F(largest)(best);
}

// Attention of one row, block by block of keys, head by head.
TARGET static void NAME(attend_row)(const winnow_attention_task *task, void *scratch) {
    enum { block = 32 };
    const size_t dim = task->head_dim;
    const float factor = task->scale * 1.44269504f;
    float *wide_keys = scratch, *wide_values = wide_keys + block * dim, *state = wide_values + block * dim;
    for (size_t head = 0; head < task->heads; head++) {
        memset(task->output + head * dim, 0, dim * sizeof(float));
        state[2 * head] = -1e30f;
        state[2 * head + 1] = 0;
    }
    for (int32_t from = task->first[0]; from < task->limit[0]; from += block) {
        const size_t count = (size_t)(task->limit[0] - from < block ? task->limit[0] - from : block);
        const float *keys = (const float *)task->keys + (size_t)from * dim;
        const float *values = (const float *)task->values + (size_t)from * dim;
        if (task->half) {
            NAME(widen)((const uint16_t *)task->keys + (size_t)from * dim, wide_keys, count * dim);
            NAME(widen)((const uint16_t *)task->values + (size_t)from * dim, wide_values, count * dim);
            keys = wide_keys;
            values = wide_values;
        }
        for (size_t head = 0; head < task->heads; head++) {
            // The next block comes from memory while this one is computed, a share with each head.
            const size_t bytes = block * dim * (task->half ? 2 : 4), next = (size_t)(from + block) * (bytes / block);
            for (size_t at = head * bytes / task->heads; at < (head + 1) * bytes / task->heads; at += 64) {
                __builtin_prefetch((const char *)task->keys + next + at);
                __builtin_prefetch((const char *)task->values + next + at);
            }
            float weights[block], lanes[LANES];
            float *best = state + 2 * head, *sum = best + 1, before = *best;
            // What is not a number weighs so, and takes the row with it.
            const float largest = NAME(score_row)(task->queries + head * dim, keys, count, dim, factor, weights);
            if (largest > before) *best = largest;
            VECTOR total = F(zero)();
            for (size_t key = 0; key < count; key += LANES) {
                VECTOR weight = NAME(power)(F(subtract)(F(load)(weights + key), F(all)(*best)));
                F(store)(weights + key, weight);
                total = F(add)(total, weight);
            }
            F(store)(lanes, NAME(power)(F(subtract)(F(all)(before), F(all)(*best))));
            *sum = *sum * lanes[0] + F(sum)(total);
            NAME(weigh_row)(values, weights, count, dim, lanes[0], task->output + head * dim);
        }
    }
    for (size_t head = 0; head < task->heads; head++)
        for (size_t i = 0; i < dim; i++) task->output[head * dim + i] *= 1.0f / state[2 * head + 1];
}
