// Attention: a plain reference, and one fast body compiled for AVX2 in Float32 and in fixed point, AVX-512, and AVX-512
// with bf16 products.
#include "attention.h"

#include <math.h>
#include <string.h>

#include "attention_bytes.h"
#include "attention_fixed.h"
#include "half.h"
#include "vectors.h"

WINNOW_BODY float value_at(const void *values, int half, size_t index) {
    if (!half) return ((const float *)values)[index];
    return winnow_from_bf16(((const uint16_t *)values)[index]);
}

// The block of a task that a cache row is in may be seen.
WINNOW_BODY int is_visible(const winnow_attention_task *task, size_t key) {
    return !task->visible || task->visible[key / (size_t)task->block_keys];
}

// Two passes over the keys, in Double; the scratch memory is not used.
static void attend_reference(const winnow_attention_task *task) {
    const size_t dim = task->head_dim;
    for (size_t row = 0; row < task->rows; row++)
        for (size_t head = 0; head < task->heads; head++) {
            const float *query = task->queries + row * task->query_stride + head * dim;
            float *out = task->output + row * task->output_stride + head * dim;
            double best = -INFINITY, sum = 0;
            const size_t first = (size_t)task->first[row], keys = (size_t)task->limit[row] - first;
            const size_t means = task->visible ? task->means : 0;
            for (int pass = 0; pass < 2; pass++)
                for (size_t place = 0; place < keys + means; place++) {
                    const int is_mean = place >= keys;
                    const size_t key = is_mean ? place - keys : first + place;
                    if (is_mean ? task->visible[key] : !is_visible(task, key)) continue;
                    const void *from = is_mean ? task->mean_keys : task->keys;
                    double score = 0;
                    for (size_t i = 0; i < dim; i++) score += (double)query[i] * value_at(from, task->half, key * dim + i);
                    score *= task->scale;
                    if (is_mean) score += log((double)task->block_keys);
                    if (pass == 0) {
                        best = score > best || isnan(score) ? score : best;
                    } else {
                        double weight = exp(score - best), total = sum + weight;
                        for (size_t i = 0; i < dim; i++) {
                            double value =
                                value_at(is_mean ? task->mean_values : task->values, task->half, key * dim + i);
                            out[i] = (float)(sum == 0 ? value : (out[i] * sum + weight * value) / total);
                        }
                        sum = total;
                    }
                }
        }
}

static void block_weights_reference(const winnow_attention_task *task, winnow_sampled_keys sampled, float *weights) {
    const size_t dim = task->head_dim, size = (size_t)task->block_keys, step = (size_t)sampled.step;
    size_t end = 0;
    for (size_t row = 0; row < task->rows; row++)
        end = (size_t)task->limit[row] > end ? (size_t)task->limit[row] : end;
    for (size_t block = 0; block * size < end; block++) weights[block] = 0;
    for (size_t row = 0; row < task->rows; row++)
        for (size_t head = 0; head < task->heads; head++) {
            const float *query = task->queries + row * task->query_stride + head * dim;
            double best = -INFINITY, sum = 0;
            for (int pass = 0; pass < 3; pass++)
                for (size_t key = (size_t)sampled.first; key < (size_t)task->limit[row]; key += step) {
                    if (key < (size_t)task->first[row]) continue;
                    double score = 0;
                    for (size_t i = 0; i < dim; i++)
                        score += (double)query[i] * value_at(task->keys, task->half, key * dim + i);
                    score *= task->scale;
                    if (pass == 0) best = score > best || isnan(score) ? score : best;
                    if (pass == 1) sum += exp(score - best);
                    if (pass == 2)
                        weights[key / size] += (float)(exp(score - best) / sum / (double)(task->rows * task->heads));
                }
        }
}

static void scores_reference(const float *queries, size_t rows, size_t head_dim, const void *keys, int half,
                             size_t count, float scale, float *scores) {
    for (size_t row = 0; row < rows; row++)
        for (size_t key = 0; key < count; key++) {
            double sum = 0;
            for (size_t i = 0; i < head_dim; i++)
                sum += (double)queries[row * head_dim + i] * value_at(keys, half, key * head_dim + i);
            scores[row * count + key] = (float)(sum * scale);
        }
}

#if defined(__x86_64__)

// Moves `from` to the next cache row before `end` that the task sees, and returns where the rows it sees from there on end:
// at `end` or a multiple of `most` at the latest. At the end, not beyond `from`.
static int32_t visible_run(const winnow_attention_task *task, int32_t *from, int32_t end, int32_t most) {
    const int32_t size = task->block_keys;
    if (task->visible)
        while (*from < end && !task->visible[*from / size]) *from = (*from / size + 1) * size;
    const int32_t multiple = (*from / most + 1) * most, stop = end < multiple ? end : multiple;
    if (!task->visible) return stop;
    int32_t to = *from;
    while (to < stop && task->visible[to / size]) to = (to / size + 1) * size;
    return to < stop ? to : stop;
}

#define BYTES 0
#define VECTOR f8
#define LANES 8
#define TILE 6
#define PAIRS 0
#define TARGET WINNOW_AVX2
#define F(name) WINNOW_JOIN(f8, name)
#define NAME(name) WINNOW_JOIN(avx2, name)
TARGET static void NAME(widen)(const uint16_t *from, float *to, size_t count) {
    winnow_widen_bf16(winnow_level_avx2, from, to, count);
}
#define FIXED 0
#include "attention_body.h"
#include "few_queries_body.h"
#undef PAIRS
#undef FIXED
#undef NAME

#define PAIRS 1
#define FIXED 1
#define INTEGERS __m256i
#define I(name) WINNOW_JOIN(i8, name)
#define NAME(name) WINNOW_JOIN(avx2_fixed, name)
#include "attention_body.h"
#undef VECTOR
#undef LANES
#undef TILE
#undef PAIRS
#undef FIXED
#undef INTEGERS
#undef I
#undef TARGET
#undef F
#undef NAME

#define VECTOR f16
#define LANES 16
#define TILE 14
#define PAIRS 0
#define FIXED 0
#define TARGET WINNOW_AVX512
#define F(name) WINNOW_JOIN(f16, name)
#define NAME(name) WINNOW_JOIN(avx512, name)
TARGET static void NAME(widen)(const uint16_t *from, float *to, size_t count) {
    winnow_widen_bf16(winnow_level_avx512, from, to, count);
}
#include "attention_body.h"
#include "few_queries_body.h"
#undef PAIRS
#undef TARGET
#undef NAME

#define PAIRS 1
#define INTEGERS __m512i
#define I(name) WINNOW_JOIN(i16, name)
#define TARGET WINNOW_AVX512_BF16
#define NAME(name) WINNOW_JOIN(avx512_bf16, name)
// to[i][column] = (row 2i, row 2i + 1) of a column as a pair of bf16; a missing last row counts as zeros.
TARGET static void winnow_interleave_rows(const uint16_t *from, size_t rows, size_t columns, uint32_t *to) {
    for (size_t row = 0; row < rows; row += 2, to += columns) {
        const uint16_t *even = from + row * columns, *odd = even + columns;
        if (row + 1 == rows)
            for (size_t c = 0; c < columns; c++) to[c] = even[c];
        else
            for (size_t c = 0; c < columns; c++) to[c] = (uint32_t)even[c] | (uint32_t)odd[c] << 16;
    }
}
#include "attention_body.h"
#undef TARGET
#undef NAME
#undef FIXED
#undef BYTES
#define BYTES 1
#define FIXED 1
#define TARGET WINNOW_AVX512_VNNI
#define NAME(name) WINNOW_JOIN(avx512_bytes, name)
#include "attention_body.h"
#undef BYTES
#undef VECTOR
#undef LANES
#undef TILE
#undef PAIRS
#undef FIXED
#undef INTEGERS
#undef I
#undef TARGET
#undef F
#undef NAME

static size_t panels_of(size_t rows, size_t heads, size_t width) { return (rows * heads + width - 1) / width; }

size_t winnow_attention_scratch(winnow_level level, size_t rows, size_t heads, size_t head_dim) {
    switch (level) {
        case winnow_level_avx512_bf16: {
            // A Float32 cache is served by the other body.
            size_t pairs = avx512_bf16_scratch(panels_of(rows, heads, 32), head_dim);
            size_t plain = avx512_scratch(panels_of(rows, heads, 32), head_dim);
            size_t bytes = avx512_bytes_scratch(panels_of(rows, heads, 32), head_dim);
            plain = bytes > plain ? bytes : plain;
            return pairs > plain ? pairs : plain;
        }
        case winnow_level_avx512_vnni: {
            size_t bytes = avx512_bytes_scratch(panels_of(rows, heads, 32), head_dim);
            size_t plain = avx512_scratch(panels_of(rows, heads, 32), head_dim);
            return bytes > plain ? bytes : plain;
        }
        case winnow_level_avx512:
            return avx512_scratch(panels_of(rows, heads, 32), head_dim);
        case winnow_level_avx2: {
            size_t fixed = avx2_fixed_scratch(panels_of(rows, heads, 16), head_dim);
            size_t plain = avx2_scratch(panels_of(rows, heads, 16), head_dim);
            return fixed > plain ? fixed : plain;
        }
        case winnow_level_reference:
            break;
    }
    return 64;
}

void winnow_attend(winnow_level level, const winnow_attention_task *task, void *scratch) {
    // Decode: a panel of queries would be mostly empty.
    const int few = task->decoded && task->rows == 1 && task->heads <= 8;
    if (level >= winnow_level_avx512_vnni && task->bytes && task->half && !few && task->head_dim % 4 == 0) {
        avx512_bytes_attend(task, scratch);
        return;
    }
    switch (level) {
        case winnow_level_avx512_bf16:
            if (task->half && !few) {
                avx512_bf16_attend(task, scratch);
                return;
            }
            if (few) avx512_attend_row(task, scratch);
            else avx512_attend(task, scratch);
            return;
        case winnow_level_avx512_vnni:
        case winnow_level_avx512:
            if (few) avx512_attend_row(task, scratch);
            else avx512_attend(task, scratch);
            return;
        case winnow_level_avx2:
            if (few) avx2_attend_row(task, scratch);
            else if (task->half) avx2_fixed_attend(task, scratch);
            else avx2_attend(task, scratch);
            return;
        case winnow_level_reference:
            attend_reference(task);
    }
}

void winnow_block_weights(winnow_level level, const winnow_attention_task *task, winnow_sampled_keys sampled, void *scratch,
                          float *sums, float *weights) {
    switch (level) {
        case winnow_level_avx512_bf16:
            if (task->half) avx512_bf16_block_weights(task, sampled, scratch, sums, weights);
            else avx512_block_weights(task, sampled, scratch, sums, weights);
            return;
        case winnow_level_avx512_vnni:
        case winnow_level_avx512:
            avx512_block_weights(task, sampled, scratch, sums, weights);
            return;
        case winnow_level_avx2:
            if (task->half) avx2_fixed_block_weights(task, sampled, scratch, sums, weights);
            else avx2_block_weights(task, sampled, scratch, sums, weights);
            return;
        case winnow_level_reference:
            block_weights_reference(task, sampled, weights);
    }
}

void winnow_scores(winnow_level level, const float *queries, size_t rows, size_t head_dim, const void *keys, int half,
                   size_t count, float scale, float *scores) {
    switch (level) {
        case winnow_level_avx512_bf16:
        case winnow_level_avx512_vnni:
        case winnow_level_avx512:
            avx512_dot_scores(queries, rows, head_dim, keys, half, count, scale, scores);
            return;
        case winnow_level_avx2:
            avx2_dot_scores(queries, rows, head_dim, keys, half, count, scale, scores);
            return;
        case winnow_level_reference:
            scores_reference(queries, rows, head_dim, keys, half, count, scale, scores);
    }
}

#else

size_t winnow_attention_scratch(winnow_level level, size_t rows, size_t heads, size_t head_dim) {
    (void)level, (void)rows, (void)heads, (void)head_dim;
    return 64;
}

void winnow_attend(winnow_level level, const winnow_attention_task *task, void *scratch) {
    (void)level, (void)scratch;
    attend_reference(task);
}

void winnow_block_weights(winnow_level level, const winnow_attention_task *task, winnow_sampled_keys sampled, void *scratch,
                          float *sums, float *weights) {
    (void)level, (void)scratch, (void)sums;
    block_weights_reference(task, sampled, weights);
}

void winnow_scores(winnow_level level, const float *queries, size_t rows, size_t head_dim, const void *keys, int half,
                   size_t count, float scale, float *scores) {
    (void)level;
    scores_reference(queries, rows, head_dim, keys, half, count, scale, scores);
}

#endif
