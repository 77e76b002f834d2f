// Weights as the products see them.
#ifndef WINNOW_ONEDNN_WEIGHTS_H
#define WINNOW_ONEDNN_WEIGHTS_H

#include "onednn_shapes.h"

#if HAVE_ONEDNN

// Outputs of a gated product that many rows are multiplied with at a time, a whole number of panels: the sums of gates and
// ups stay in a core's own cache until they have become one, while those of all outputs pass through memory.
enum { part_outputs = 256 };

struct winnow_onednn_weights {
    onednn_shape *shape;
    // Weights in panels of more outputs than a part: the shapes of a part, and of what remains behind the last whole one; null
    // where all are one part.
    onednn_shape *part, *rest;
    void *packed;
    size_t size;
    // int8 only: the scale of every output, and the sum of its weights times the byte that stands for 0.
    float *scales;
    int32_t *shifts;
};

#endif

#endif
