// Plain scores of a few queries, for one vector width; included by attention.c.

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
            for (size_t key = 0; key < these; key++) {
                const float *q = queries + row * head_dim, *k = from + key * head_dim;
                VECTOR a = F(zero)(), b = F(zero)();
                size_t i = 0;
                for (; i + 2 * LANES <= head_dim; i += 2 * LANES) {
                    a = F(fma)(F(load)(q + i), F(load)(k + i), a);
                    b = F(fma)(F(load)(q + i + LANES), F(load)(k + i + LANES), b);
                }
                float sum = F(sum)(F(add)(a, b));
                for (; i < head_dim; i++) sum += q[i] * k[i];
                scores[row * count + first + key] = sum * scale;
            }
    }
}
