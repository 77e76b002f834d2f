// Short vectors of Float32 under one set of names, so that a kernel is written once for every width.
//
// f8 is AVX2, f16 is AVX-512. A kernel's body says F(add)(a, b) and is included once per width.
#ifndef WINNOW_VECTORS_H
#define WINNOW_VECTORS_H

#include "dispatch.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WINNOW_F8 static inline __attribute__((always_inline)) WINNOW_AVX2
#define WINNOW_F16 static inline __attribute__((always_inline)) WINNOW_AVX512

typedef __m256 f8;
WINNOW_F8 f8 f8_zero(void) { return _mm256_setzero_ps(); }
WINNOW_F8 f8 f8_all(float x) { return _mm256_set1_ps(x); }
WINNOW_F8 f8 f8_broadcast(const float *p) { return _mm256_broadcast_ss(p); }
WINNOW_F8 f8 f8_load(const float *p) { return _mm256_loadu_ps(p); }
WINNOW_F8 void f8_store(float *p, f8 x) { _mm256_storeu_ps(p, x); }
WINNOW_F8 f8 f8_add(f8 a, f8 b) { return _mm256_add_ps(a, b); }
WINNOW_F8 f8 f8_subtract(f8 a, f8 b) { return _mm256_sub_ps(a, b); }
WINNOW_F8 f8 f8_multiply(f8 a, f8 b) { return _mm256_mul_ps(a, b); }
// a * b + c
WINNOW_F8 f8 f8_fma(f8 a, f8 b, f8 c) { return _mm256_fmadd_ps(a, b, c); }
// b where a is not a number
WINNOW_F8 f8 f8_maximum(f8 a, f8 b) { return _mm256_max_ps(a, b); }
WINNOW_F8 float f8_sum(f8 x) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
// The sums of eight vectors, in their order.
WINNOW_F8 f8 f8_sums(const f8 x[8]) {
    f8 low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    f8 high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}
WINNOW_F8 float f8_largest(f8 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// x * 2^n, where the low bits of `biased` hold n: x's exponent must stay in range.
WINNOW_F8 f8 f8_scale_exponent(f8 x, f8 biased) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_castps_si256(biased), 23)));
}
// Per lane, x where first <= key < limit, else `other`.
WINNOW_F8 f8 f8_select(f8 x, f8 other, int32_t key, const int32_t *first, const int32_t *limit) {
    __m256i at = _mm256_set1_epi32(key);
    __m256i before = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)first), at);
    __m256i within = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)limit), at);
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(_mm256_andnot_si256(before, within)));
}
// The even (low) and odd (high) halves of sixteen bf16 values, widened.
WINNOW_F8 f8 f8_low_halves(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)p), 16));
}
WINNOW_F8 f8 f8_high_halves(const uint16_t *p) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi32((int)0xffff0000)));
}

// Thirty-two 8-bit values, or eight 32-bit sums.
WINNOW_F8 __m256i i8_zero(void) { return _mm256_setzero_si256(); }
WINNOW_F8 __m256i i8_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
WINNOW_F8 __m256i i8_broadcast_quad(const uint8_t *p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm256_set1_epi32(quad);
}
// Unsigned a times signed b plus unsigned c times signed d, neighbours added: 16-bit sums.
WINNOW_F8 __m256i i8_products(__m256i a, __m256i b, __m256i c, __m256i d) {
    return _mm256_add_epi16(_mm256_maddubs_epi16(a, b), _mm256_maddubs_epi16(c, d));
}
// Adds neighbouring 16-bit sums to 32-bit ones.
WINNOW_F8 __m256i i8_add_pairs(__m256i to, __m256i x) {
    return _mm256_add_epi32(to, _mm256_madd_epi16(x, _mm256_set1_epi16(1)));
}
WINNOW_F8 __m256i i8_all(int32_t x) { return _mm256_set1_epi32(x); }
WINNOW_F8 void i8_store(void *p, __m256i x) { _mm256_storeu_si256((__m256i *)p, x); }
WINNOW_F8 f8 i8_floats(__m256i x) { return _mm256_cvtepi32_ps(x); }
// Signed 16-bit products, neighbours added: to + a * b.
WINNOW_F8 __m256i i8_add_pair_products(__m256i to, __m256i a, __m256i b) {
    return _mm256_add_epi32(to, _mm256_madd_epi16(a, b));
}
// The low 16 bits of a's lanes below those of b's.
WINNOW_F8 __m256i i8_low_halves(f8 a, f8 b) {
    return _mm256_blend_epi16(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 16), 0xaa);
}
WINNOW_F8 f8 i8_difference(__m256i a, const int32_t *b) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(a, _mm256_loadu_si256((const __m256i *)b)));
}

typedef __m512 f16;
WINNOW_F16 f16 f16_zero(void) { return _mm512_setzero_ps(); }
WINNOW_F16 f16 f16_all(float x) { return _mm512_set1_ps(x); }
WINNOW_F16 f16 f16_broadcast(const float *p) { return _mm512_set1_ps(*p); }
WINNOW_F16 f16 f16_load(const float *p) { return _mm512_loadu_ps(p); }
WINNOW_F16 void f16_store(float *p, f16 x) { _mm512_storeu_ps(p, x); }
WINNOW_F16 f16 f16_add(f16 a, f16 b) { return _mm512_add_ps(a, b); }
WINNOW_F16 f16 f16_subtract(f16 a, f16 b) { return _mm512_sub_ps(a, b); }
WINNOW_F16 f16 f16_multiply(f16 a, f16 b) { return _mm512_mul_ps(a, b); }
WINNOW_F16 f16 f16_fma(f16 a, f16 b, f16 c) { return _mm512_fmadd_ps(a, b, c); }
WINNOW_F16 f16 f16_maximum(f16 a, f16 b) { return _mm512_max_ps(a, b); }
WINNOW_F16 float f16_sum(f16 x) { return _mm512_reduce_add_ps(x); }
// The sums of sixteen vectors, in their order.
WINNOW_F16 f16 f16_sums(const f16 x[16]) {
    f16 two[8], four[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++)
        two[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(two[2 * i]), b = _mm512_castps_pd(two[2 * i + 1]);
        four[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    f16 low = _mm512_add_ps(_mm512_shuffle_f32x4(four[0], four[1], 0x88), _mm512_shuffle_f32x4(four[0], four[1], 0xdd));
    f16 high = _mm512_add_ps(_mm512_shuffle_f32x4(four[2], four[3], 0x88), _mm512_shuffle_f32x4(four[2], four[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}
WINNOW_F16 float f16_largest(f16 x) { return _mm512_reduce_max_ps(x); }
WINNOW_F16 f16 f16_scale_exponent(f16 x, f16 biased) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_castps_si512(biased), 23)));
}
WINNOW_F16 f16 f16_select(f16 x, f16 other, int32_t key, const int32_t *first, const int32_t *limit) {
    __m512i at = _mm512_set1_epi32(key);
    __mmask16 within = _mm512_cmple_epi32_mask(_mm512_loadu_si512(first), at) &
                       _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(limit), at);
    return _mm512_mask_mov_ps(other, within, x);
}
WINNOW_F16 f16 f16_low_halves(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
WINNOW_F16 f16 f16_high_halves(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000)));
}
WINNOW_F16 f16 i16_floats(__m512i x) { return _mm512_cvtepi32_ps(x); }
WINNOW_F16 __m512i i16_zero(void) { return _mm512_setzero_si512(); }
WINNOW_F16 __m512i i16_load(const void *p) { return _mm512_loadu_si512(p); }
WINNOW_F16 void i16_store(void *p, __m512i x) { _mm512_storeu_si512(p, x); }
WINNOW_F16 __m512i i16_broadcast_quad(const uint8_t *p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}
WINNOW_F16 __m512i i16_products(__m512i a, __m512i b, __m512i c, __m512i d) {
    return _mm512_add_epi16(_mm512_maddubs_epi16(a, b), _mm512_maddubs_epi16(c, d));
}
WINNOW_F16 __m512i i16_add_pairs(__m512i to, __m512i x) {
    return _mm512_add_epi32(to, _mm512_madd_epi16(x, _mm512_set1_epi16(1)));
}
WINNOW_F16 f16 i16_difference(__m512i a, const int32_t *b) {
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(a, _mm512_loadu_si512(b)));
}
#endif

// Pasting after expansion.
#define WINNOW_JOIN_(a, b) a##_##b
#define WINNOW_JOIN(a, b) WINNOW_JOIN_(a, b)

#endif
