// Without headers: everything says no.
#include "onednn_library.h"

#if !HAVE_ONEDNN

const char *winnow_onednn_problem(void) { return "built without oneDNN headers (Debian: libdnnl-dev)"; }
const char *winnow_onednn_version(void) { return ""; }

int winnow_onednn_supports(winnow_onednn_type type) {
    (void)type;
    return 0;
}

int winnow_onednn_largest_step(void) { return 127; }

winnow_onednn_weights *winnow_onednn_create(winnow_onednn_type type, size_t outputs, size_t inputs) {
    (void)type, (void)outputs, (void)inputs;
    return NULL;
}

void winnow_onednn_destroy(winnow_onednn_weights *weights) { (void)weights; }

size_t winnow_onednn_bytes(const winnow_onednn_weights *weights) {
    (void)weights;
    return 0;
}

winnow_onednn_memory winnow_onednn_memory_of(winnow_onednn_weights *weights) {
    (void)weights;
    return (winnow_onednn_memory){0};
}

int winnow_onednn_has_panels(const winnow_onednn_weights *weights) {
    (void)weights;
    return 0;
}

size_t winnow_onednn_row_bytes(const winnow_onednn_weights *weights) {
    (void)weights;
    return 0;
}

void winnow_onednn_convert(winnow_onednn_weights *weights, size_t output, const float *row, void *to) {
    (void)weights, (void)output, (void)row, (void)to;
}

void winnow_onednn_fill(winnow_onednn_weights *weights, size_t panel, const void *rows, size_t present) {
    (void)weights, (void)panel, (void)rows, (void)present;
}

int winnow_onednn_pack(winnow_onednn_weights *weights, const float *rows) {
    (void)weights, (void)rows;
    return -1;
}

int winnow_onednn_multiply(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda,
                           const float *scales, float *c, size_t ldc, int accumulate) {
    (void)weights, (void)m, (void)a, (void)lda, (void)scales, (void)c, (void)ldc, (void)accumulate;
    return -1;
}

int winnow_onednn_multiply_gated(const winnow_onednn_weights *gate, const winnow_onednn_weights *up, size_t m,
                                 const void *a, size_t lda, const float *scales, float *c, size_t ldc) {
    (void)gate, (void)up, (void)m, (void)a, (void)lda, (void)scales, (void)c, (void)ldc;
    return -1;
}

int winnow_onednn_is_readable(const winnow_onednn_weights *weights) {
    (void)weights;
    return 0;
}

int winnow_onednn_read(const winnow_onednn_weights *weights, size_t output, float *row) {
    (void)weights, (void)output, (void)row;
    return -1;
}

int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size) {
    (void)weights, (void)m, (void)text, (void)size;
    return -1;
}

#endif
