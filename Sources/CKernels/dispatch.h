// How one body becomes a version per instruction set.
#ifndef WINNOW_DISPATCH_H
#define WINNOW_DISPATCH_H

#include "kernels.h"

// A body inlined into every version, so that each is compiled for its own instruction set.
#define WINNOW_BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define WINNOW_AVX2 __attribute__((target("avx2,fma,f16c")))
#define WINNOW_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")))
#define WINNOW_AVX512_VNNI __attribute__((target("avx512vnni,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")))
#define WINNOW_AVX512_BF16 __attribute__((target("avx512bf16,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")))
#else
#define WINNOW_AVX2
#define WINNOW_AVX512
#define WINNOW_AVX512_BF16
#endif

// Defines `name` as a choice among name_avx512, name_avx2 and name_reference.
#define WINNOW_DISPATCH(name, parameters, arguments)     \
    void name parameters {                               \
        switch (level) {                                 \
            case winnow_level_avx512_bf16:               \
            case winnow_level_avx512_vnni:               \
            case winnow_level_avx512:                    \
                name##_avx512 arguments;                 \
                break;                                   \
            case winnow_level_avx2:                      \
                name##_avx2 arguments;                   \
                break;                                   \
            case winnow_level_reference:                 \
                name##_reference arguments;              \
                break;                                   \
        }                                                \
    }

#endif
