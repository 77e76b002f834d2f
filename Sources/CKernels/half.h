// bf16 and Float32, one value at a time.
#ifndef WINNOW_HALF_H
#define WINNOW_HALF_H

#include <stdint.h>
#include <string.h>

#include "dispatch.h"

// Round to nearest, ties to even; a NaN stays one.
WINNOW_BODY uint16_t winnow_bf16_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40) : rounded);
}

WINNOW_BODY float winnow_from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
