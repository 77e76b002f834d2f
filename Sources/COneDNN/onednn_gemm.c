#include "conversions.h"
#include "onednn_weights.h"

#if HAVE_ONEDNN

#include <stdio.h>

#include "kernels.h"
#include "panels.h"

// A run of a matrix's outputs that is multiplied by itself.
typedef struct {
    onednn_shape *shape;
    const void *packed;
    const float *scales;
    const int32_t *shifts;
} part;

// The outputs from `first` on, a part of them at most.
static part part_of(const winnow_onednn_weights *weights, size_t first) {
    onednn_shape *shape = weights->shape;
    if (weights->part != NULL) shape = shape->n - first < part_outputs ? weights->rest : weights->part;
    size_t panels = first / winnow_panel_width;
    int int8 = weights->scales != NULL;
    return (part){.shape = shape,
                  .packed = (const char *)weights->packed +
                            (first > 0 ? panels * winnow_panel_width * winnow_onednn_row_bytes(weights) : 0),
                  .scales = int8 ? weights->scales + first : NULL,
                  .shifts = int8 ? weights->shifts + first : NULL};
}

// The library's product: Float32, or the sums of bytes, which are not added to anything.
static dnnl_status_t library_product(thread_state *state, part it, size_t m, const void *a, size_t lda, void *c,
                                     size_t ldc, int accumulate) {
    onednn_shape *shape = it.shape;
    onednn_product *product = NULL;
    dnnl_status_t status = onednn_product_take(&product, shape, m, lda, ldc, accumulate);
    if (status != dnnl_success) return status;

    // The library takes inputs without const.
    void *source = (void *)(uintptr_t)a, *to = c;
    const size_t a_size = onednn_types[shape->type].a_size;
    if (product->packs_a) {
        size_t row = shape->k * a_size;
        source = onednn_grown(&state->a, &state->a_size, m * row);
        for (size_t r = 0; r < m && source != NULL; r++)
            memcpy((char *)source + r * row, (const char *)a + r * lda * a_size, row);
    }
    if (product->packs_c) to = onednn_grown(&state->c, &state->c_size, m * shape->n * sizeof(float));

    dnnl_memory_t from = NULL, weights = NULL, into = NULL, scratch = NULL;
    status = source != NULL && to != NULL ? dnnl_success : dnnl_out_of_memory;
    if (status == dnnl_success) status = onednn.memory_create(&from, product->a, onednn_engine, source);
    if (status == dnnl_success)
        status = onednn.memory_create(&weights, shape->weights, onednn_engine, (void *)(uintptr_t)it.packed);
    if (status == dnnl_success) status = onednn.memory_create(&into, product->c, onednn_engine, to);
    if (status == dnnl_success && product->scratch_size > 0) {
        void *memory = onednn_grown(&state->scratch, &state->scratch_size, product->scratch_size);
        status = memory != NULL ? onednn.memory_create(&scratch, product->scratch, onednn_engine, memory) : dnnl_out_of_memory;
    }
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, from},
                                             {DNNL_ARG_WEIGHTS, weights},
                                             {DNNL_ARG_DST, into},
                                             {DNNL_ARG_SCRATCHPAD, scratch}};
        status = onednn.primitive_execute(product->primitive, state->stream, scratch != NULL ? 4 : 3, arguments);
        if (status == dnnl_success) status = onednn.stream_wait(state->stream);
    }
    dnnl_memory_t memories[] = {from, weights, into, scratch};
    for (size_t i = 0; i < 4; i++)
        if (memories[i] != NULL) onednn.memory_destroy(memories[i]);
    int unpacks = product->packs_c;
    onednn_product_return(shape, product);
    if (status == dnnl_success && unpacks) winnow_onednn_copy_rows(to, shape->n, c, ldc, m, shape->n, accumulate);
    return status;
}

// The product of a part, [m, its outputs] Float32 without gaps at `to`; sums lie there before they are scaled.
static dnnl_status_t part_product(thread_state *state, part it, size_t m, const void *a, size_t lda,
                                  const float *scales, float *to) {
    const size_t n = it.shape->n;
    dnnl_status_t status = library_product(state, it, m, a, lda, to, n, 0);
    if (status == dnnl_success && it.scales != NULL)
        winnow_onednn_scale_sums(winnow_level_in_use(), to, n, it.shifts, scales, it.scales, to, n, m, n, 0);
    return status;
}

// The same of few rows and all outputs, by the kernels of this package; rows of C lie ldc apart.
static void few_rows(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda, const float *scales,
                     float *c, size_t ldc, int accumulate) {
    const onednn_shape *shape = weights->shape;
    if (shape->type == winnow_onednn_int8)
        winnow_panels_int8(winnow_level_in_use(), weights->packed, shape->n, shape->k, m, a, lda, scales,
                           weights->scales, weights->shifts, c, ldc, accumulate);
    else
        winnow_panels_bf16(winnow_level_in_use(), weights->packed, shape->n, shape->k, m, a, lda, c, ldc, accumulate);
}

static int has_few_rows(const winnow_onednn_weights *weights, size_t m) {
    return weights->shape->has_panels && m <= winnow_panel_rows;
}

// Whether a product can be what is asked for.
static int is_sound(const winnow_onednn_weights *weights, size_t m, size_t lda, const float *scales, size_t ldc) {
    const onednn_shape *shape = weights->shape;
    return lda >= shape->k && ldc >= shape->n && m <= INT32_MAX &&
           (shape->type == winnow_onednn_int8) == (scales != NULL);
}

int winnow_onednn_multiply(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda,
                           const float *scales, float *c, size_t ldc, int accumulate) {
    if (m == 0) return dnnl_success;
    if (!is_sound(weights, m, lda, scales, ldc)) return dnnl_invalid_arguments;
    if (has_few_rows(weights, m)) {
        few_rows(weights, m, a, lda, scales, c, ldc, accumulate);
        return dnnl_success;
    }
    thread_state *state = onednn_enter();
    if (state == NULL) return dnnl_out_of_memory;

    const size_t n = weights->shape->n;
    // One row has no gaps.
    if (m == 1) {
        lda = weights->shape->k;
        ldc = n;
    }
    part whole = part_of(weights, 0);
    whole.shape = weights->shape;
    if (scales == NULL) return library_product(state, whole, m, a, lda, c, ldc, accumulate);
    // Sums become floats where they lie, or lie apart when they are to be added or C has gaps.
    if (!accumulate && ldc == n) return part_product(state, whole, m, a, lda, scales, c);
    void *sums = onednn_grown(&state->c, &state->c_size, m * n * sizeof(int32_t));
    if (sums == NULL) return dnnl_out_of_memory;
    dnnl_status_t status = library_product(state, whole, m, a, lda, sums, n, 0);
    if (status == dnnl_success)
        winnow_onednn_scale_sums(winnow_level_in_use(), sums, n, whole.shifts, scales, whole.scales, c, ldc, m, n,
                                 accumulate);
    return status;
}

int winnow_onednn_multiply_gated(const winnow_onednn_weights *gate, const winnow_onednn_weights *up, size_t m,
                                 const void *a, size_t lda, const float *scales, float *c, size_t ldc) {
    if (m == 0) return dnnl_success;
    if (gate->shape != up->shape || !is_sound(gate, m, lda, scales, ldc)) return dnnl_invalid_arguments;
    thread_state *state = onednn_enter();
    if (state == NULL) return dnnl_out_of_memory;

    const winnow_level level = winnow_level_in_use();
    const size_t n = gate->shape->n;
    const int is_few = has_few_rows(gate, m);
    dnnl_status_t status = dnnl_success;
    for (size_t first = 0, outputs; first < n; first += outputs) {
        part gates = part_of(gate, first), ups = part_of(up, first);
        outputs = is_few ? n : gates.shape->n;
        float *gated = onednn_grown(&state->gated, &state->gated_size, 2 * m * outputs * sizeof(float));
        if (gated == NULL) return dnnl_out_of_memory;
        if (is_few) {
            few_rows(gate, m, a, lda, scales, gated, n, 0);
            few_rows(up, m, a, lda, scales, gated + m * n, n, 0);
        } else {
            status = part_product(state, gates, m, a, lda, scales, gated);
            if (status == dnnl_success) status = part_product(state, ups, m, a, lda, scales, gated + m * outputs);
            if (status != dnnl_success) return status;
        }
        winnow_silu_multiply(level, gated, gated + m * outputs, outputs, c + first, ldc, m, outputs);
    }
    return status;
}

int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size) {
    if (onednn_enter() == NULL) return dnnl_out_of_memory;
    onednn_shape *shape = weights->shape;
    onednn_product *product = NULL;
    dnnl_status_t status = onednn_product_take(&product, shape, m, shape->k, shape->n, 0);
    if (status != dnnl_success) return status;
    snprintf(text, size, "%s", product->kernel);
    onednn_product_return(shape, product);
    return status;
}

#endif
