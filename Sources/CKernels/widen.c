// Half-precision formats to Float32, and back to bf16. The reference works on the bits alone.
#include "dispatch.h"
#include "half.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// bf16 is the upper half of a Float32.
WINNOW_BODY void widen_bf16(const void *in, float *out, size_t count) {
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

#define WIDEN_PARAMETERS (const void *in, float *out, size_t count)
#define WIDEN_ARGUMENTS (in, out, count)
WINNOW_AVX512 static void winnow_widen_bf16_avx512 WIDEN_PARAMETERS { widen_bf16 WIDEN_ARGUMENTS; }
WINNOW_AVX2 static void winnow_widen_bf16_avx2 WIDEN_PARAMETERS { widen_bf16 WIDEN_ARGUMENTS; }
static void winnow_widen_bf16_reference WIDEN_PARAMETERS {
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++)
        out[i] = from_bits(((uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8) << 16);
}
WINNOW_DISPATCH(winnow_widen_bf16, (winnow_level level, const void *in, float *out, size_t count), WIDEN_ARGUMENTS)

static void winnow_widen_f16_reference WIDEN_PARAMETERS {
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++) {
        uint32_t half = (uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
        uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
        if (exponent == 31) {
            out[i] = from_bits(sign | 0x7f800000u | fraction << 13);
        } else if (exponent == 0) {
            // Subnormal: fraction * 2^-24, exact in Float32.
            float magnitude = (float)fraction * 0x1p-24f;
            out[i] = sign ? -magnitude : magnitude;
        } else {
            out[i] = from_bits(sign | (exponent + 112) << 23 | fraction << 13);
        }
    }
}

#if defined(__x86_64__)
WINNOW_AVX512 static void winnow_widen_f16_avx512 WIDEN_PARAMETERS {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i halves = _mm256_loadu_si256((const __m256i *)((const char *)in + 2 * i));
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(halves));
    }
    winnow_widen_f16_reference((const char *)in + 2 * i, out + i, count - i);
}
WINNOW_AVX2 static void winnow_widen_f16_avx2 WIDEN_PARAMETERS {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i halves = _mm_loadu_si128((const __m128i *)((const char *)in + 2 * i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
    }
    winnow_widen_f16_reference((const char *)in + 2 * i, out + i, count - i);
}
#else
#define winnow_widen_f16_avx512 winnow_widen_f16_reference
#define winnow_widen_f16_avx2 winnow_widen_f16_reference
#endif
WINNOW_DISPATCH(winnow_widen_f16, (winnow_level level, const void *in, float *out, size_t count), WIDEN_ARGUMENTS)

WINNOW_BODY void narrow_bf16(const float *in, uint16_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = winnow_bf16_bits(in[i]);
}

#define NARROW_PARAMETERS (const float *in, uint16_t *out, size_t count)
#define NARROW_ARGUMENTS (in, out, count)
WINNOW_AVX512 static void winnow_narrow_bf16_avx512 NARROW_PARAMETERS { narrow_bf16 NARROW_ARGUMENTS; }
WINNOW_AVX2 static void winnow_narrow_bf16_avx2 NARROW_PARAMETERS { narrow_bf16 NARROW_ARGUMENTS; }
static void winnow_narrow_bf16_reference NARROW_PARAMETERS { narrow_bf16 NARROW_ARGUMENTS; }
WINNOW_DISPATCH(winnow_narrow_bf16, (winnow_level level, const float *in, uint16_t *out, size_t count),
                NARROW_ARGUMENTS)
