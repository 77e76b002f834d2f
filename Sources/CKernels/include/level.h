// Which instruction set computes: decided once for the whole process, here and nowhere else.
#ifndef WINNOW_LEVEL_H
#define WINNOW_LEVEL_H

// From least to most; a CPU that has a level has those below it.
typedef enum {
    // Plain C, for any CPU.
    winnow_level_reference = 0,
    // AVX2, FMA and F16C.
    winnow_level_avx2 = 1,
    // AVX-512 F, DQ, BW and VL.
    winnow_level_avx512 = 2,
    // With products of four 8-bit pairs.
    winnow_level_avx512_vnni = 3,
    // With products of bf16 pairs.
    winnow_level_avx512_bf16 = 4
} winnow_level;

// Levels there are.
enum { winnow_levels = 5 };

// The best level of this CPU.
winnow_level winnow_cpu_level(void);

// The level in use: the CPU's best, or the cap where there is one. The first call decides; all get the same answer.
winnow_level winnow_level_in_use(void);

// Whether the level in use was asked for, by `winnow_level_cap` or the environment: other libraries are then held to the
// same instructions.
int winnow_level_is_capped(void);

// Caps the level in use. Returns 0; -1 when another level is in use already, or the CPU lacks this one.
int winnow_level_cap(winnow_level level);

// The word for a level: "portable", "avx2", "avx512", "avx512vnni" or "avx512bf16".
const char *winnow_level_name(winnow_level level);

// The environment variable WINNOW_CPU_LEVEL, which caps the level where nothing else does. Returns 0 and the level it
// names; 1 when it is not set, or empty; -1 when it names no level.
int winnow_level_of_environment(winnow_level *level);

#endif
