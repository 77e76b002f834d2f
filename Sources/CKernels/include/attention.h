// Fused causal attention over a compact cache.
#ifndef WINNOW_ATTENTION_H
#define WINNOW_ATTENTION_H

#include "kernels.h"

// The rows of one request and one KV head: what one thread works on at a time.
typedef struct {
    // Row r of head h of the group: `queries + r * query_stride + h * head_dim`, Float32, rotated, not yet scaled.
    const float *queries;
    size_t query_stride;
    // Query rows, and heads that share the KV head.
    size_t rows, heads;
    // Values per head, an even number.
    size_t head_dim;
    // Keys and values of the KV head from cache row 0 on: `head_dim` values a row, one row after the other.
    const void *keys, *values;
    // Whether they are bf16; Float32 otherwise.
    int half;
    // Whether products of a prompt's rows may be taken in 8 bits, where the keys and values are bf16.
    int bytes;
    // Whether the only row was decoded: read once for one row, in Float32. A prompt's row never is, however many come with
    // it, so that it does not matter how a prompt is cut.
    int decoded;
    // Row r sees cache rows first[r] ..< limit[r]; at least one.
    const int32_t *first, *limit;
    // Of those, only the ones in blocks of `block_keys` cache rows (even, at most winnow_block_keys_most) whose byte here is
    // not 0; every row must see one of them. NULL: all.
    const uint8_t *visible;
    int32_t block_keys;
    // The means of the keys and of the values of the first `means` blocks, laid out like the keys, a row for a block: a block
    // among them that is not seen counts as so many keys like their mean. Rows see all of each such block. 0: it counts for
    // nothing.
    const void *mean_keys, *mean_values;
    size_t means;
    // Multiplies the products of queries and keys, before the softmax.
    float scale;
    // Laid out like the queries.
    float *output;
    size_t output_stride;
} winnow_attention_task;

// The most keys in a block that is seen, or not, as a whole.
enum { winnow_block_keys_most = 96 };

// Bytes of scratch memory a task of this shape needs, 64-byte aligned; they do not depend on the cache's length.
size_t winnow_attention_scratch(winnow_level level, size_t rows, size_t heads, size_t head_dim);

// output = softmax(scale q k^T) v for every row and head. The block of keys at hand is read once for all heads of the
// group and all rows, with an online softmax in Float32 (Milakov and Gimelshein, 2018; Dao et al., 2022).
//
// With bf16 instructions (winnow_level_avx512_bf16 and a bf16 cache) queries and softmax weights are rounded to bf16
// and sums are Float32. With AVX2 and a bf16 cache both products are taken in 16-bit fixed point (fixed_point.h):
// queries and keys with a scale each, values with a power of two that goes into the weight of their key, weights
// relative to the largest of about 100 keys. With winnow_level_avx512_vnni and above, where `bytes` says so and
// `head_dim` is a multiple of 4, both products are taken in 8 bits (attention_bytes.h), weights relative to the
// largest of 224 keys. Otherwise, and for a decoded row of up to 8 heads, all arithmetic is Float32.
void winnow_attend(winnow_level level, const winnow_attention_task *task, void *scratch);

// The cache rows `first`, `first + step`, `first + 2 step`, ... of each block of `block_keys`, which is a multiple of `step`;
// 0 and 1: all.
typedef struct {
    int32_t first, step;
} winnow_sampled_keys;

// weights[b] = the share of the attention of the task's rows and heads to the sampled keys, on average, that falls on those
// of block b of `block_keys` cache rows, for all blocks up to the largest limit; `visible`, values and output are not
// looked at. A row that sees none of them counts for nothing. The arithmetic is that of winnow_attend. `sums` has room for
// 2 * (rows * heads, rounded up to a multiple of 32) values a block, aligned like the scratch memory.
void winnow_block_weights(winnow_level level, const winnow_attention_task *task, winnow_sampled_keys sampled, void *scratch,
                          float *sums, float *weights);

// scores[q][key] = scale * q . k for `count` keys of one KV head and a few queries, `[queries, head_dim]`.
void winnow_scores(winnow_level level, const float *queries, size_t rows, size_t head_dim, const void *keys, int half,
                   size_t count, float scale, float *scores);

#endif
