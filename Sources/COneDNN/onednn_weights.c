#include "onednn_weights.h"

#include "conversions.h"

#if HAVE_ONEDNN

#include <stdlib.h>

#include "memory.h"
#include "panels.h"

static void return_shape(onednn_shape **it) {
    if (*it != NULL) onednn_shape_return(*it);
    *it = NULL;
}

// Finds the shapes of parts, where there are any; returns 0 where the library has no product of them.
static int take_parts(winnow_onednn_weights *it) {
    const size_t n = it->shape->n, k = it->shape->k, rest = n % part_outputs;
    if (!it->shape->has_panels || n <= part_outputs) return 1;
    it->part = onednn_shape_take(it->shape->type, part_outputs, k);
    if (rest > 0) it->rest = onednn_shape_take(it->shape->type, rest, k);
    if (it->part == NULL || (rest > 0 && it->rest == NULL)) return 0;
    // A library may have fast kernels for some sizes alone: then all outputs are one part.
    if (!it->part->has_panels || (rest > 0 && !it->rest->has_panels)) {
        return_shape(&it->part);
        return_shape(&it->rest);
    }
    return 1;
}

winnow_onednn_weights *winnow_onednn_create(winnow_onednn_type type, size_t outputs, size_t inputs) {
    if (!onednn_usable() || type < winnow_onednn_f32 || type > winnow_onednn_int8) return NULL;
    if (outputs == 0 || inputs == 0 || outputs > INT32_MAX || inputs > INT32_MAX) return NULL;
    // 255 * 127 * inputs must fit an Int32.
    if (type == winnow_onednn_int8 && inputs > 65536) return NULL;
    if (onednn_enter() == NULL) return NULL;
    winnow_onednn_weights *weights = calloc(1, sizeof *weights);
    if (weights == NULL) return NULL;
    weights->shape = onednn_shape_take(type, outputs, inputs);
    if (weights->shape != NULL) {
        weights->size = onednn.memory_desc_get_size(weights->shape->weights);
        weights->packed = winnow_memory(weights->size);
        if (type == winnow_onednn_int8) {
            weights->scales = calloc(outputs, sizeof *weights->scales);
            weights->shifts = calloc(outputs, sizeof *weights->shifts);
        }
        int whole = weights->packed != NULL &&
                    (type != winnow_onednn_int8 || (weights->scales != NULL && weights->shifts != NULL));
        if (whole && take_parts(weights)) return weights;
    }
    winnow_onednn_destroy(weights);
    return NULL;
}

void winnow_onednn_destroy(winnow_onednn_weights *weights) {
    if (weights == NULL) return;
    return_shape(&weights->shape);
    return_shape(&weights->part);
    return_shape(&weights->rest);
    winnow_memory_free(weights->packed, weights->size);
    free(weights->scales);
    free(weights->shifts);
    free(weights);
}

size_t winnow_onednn_bytes(const winnow_onednn_weights *weights) {
    size_t own = weights->scales != NULL ? weights->shape->n * (sizeof(float) + sizeof(int32_t)) : 0;
    return weights->size + own;
}

winnow_onednn_memory winnow_onednn_memory_of(winnow_onednn_weights *weights) {
    size_t n = weights->scales != NULL ? weights->shape->n : 0;
    return (winnow_onednn_memory){.packed = weights->packed,
                                  .scales = weights->scales,
                                  .shifts = weights->shifts,
                                  .packed_size = weights->size,
                                  .scales_size = n * sizeof *weights->scales,
                                  .shifts_size = n * sizeof *weights->shifts};
}

int winnow_onednn_has_panels(const winnow_onednn_weights *weights) { return weights->shape->has_panels; }

size_t winnow_onednn_row_bytes(const winnow_onednn_weights *weights) {
    return winnow_panel_row_bytes(weights->shape->k, weights->shape->type == winnow_onednn_int8 ? 4 : 2);
}

void winnow_onednn_convert(winnow_onednn_weights *weights, size_t output, const float *row, void *to) {
    const size_t k = weights->shape->k;
    const winnow_level level = winnow_level_in_use();
    size_t used;
    if (weights->shape->type == winnow_onednn_int8) {
        int32_t sum;
        weights->scales[output] = winnow_onednn_quantize_weights(level, row, to, &sum, k);
        weights->shifts[output] = (onednn_largest_step + 1) * sum;
        used = k;
    } else {
        winnow_onednn_to_bf16(level, row, k, to, k, 1, k);
        used = k * sizeof(uint16_t);
    }
    memset((char *)to + used, 0, winnow_onednn_row_bytes(weights) - used);
}

void winnow_onednn_fill(winnow_onednn_weights *weights, size_t panel, const void *rows, size_t present) {
    const size_t row = winnow_onednn_row_bytes(weights);
    winnow_panel_fill((char *)weights->packed + panel * winnow_panel_width * row, rows, row, present);
}

// Copies W [k, n], given as rows of its transpose, into the packed layout.
static dnnl_status_t reorder(thread_state *state, winnow_onednn_weights *weights, dnnl_data_type_t type,
                             const void *rows) {
    layout from = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t memory = NULL, to = NULL;
    dnnl_status_t status = onednn_column_major(&from, weights->shape->k, weights->shape->n, weights->shape->k, type);
    if (status == dnnl_success)
        status = onednn.reorder_primitive_desc_create(&description, from, onednn_engine, weights->shape->weights, onednn_engine, NULL);
    if (status == dnnl_success) status = onednn.primitive_create(&primitive, description);
    // The library takes inputs without const.
    if (status == dnnl_success) status = onednn.memory_create(&memory, from, onednn_engine, (void *)(uintptr_t)rows);
    if (status == dnnl_success)
        status = onednn.memory_create(&to, weights->shape->weights, onednn_engine, weights->packed);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, to}};
        status = onednn.primitive_execute(primitive, state->stream, 2, arguments);
        if (status == dnnl_success) status = onednn.stream_wait(state->stream);
    }
    if (memory != NULL) onednn.memory_destroy(memory);
    if (to != NULL) onednn.memory_destroy(to);
    if (primitive != NULL) onednn.primitive_destroy(primitive);
    if (description != NULL) onednn.primitive_desc_destroy(description);
    onednn_layout_free(from);
    return status;
}

int winnow_onednn_pack(winnow_onednn_weights *weights, const float *rows) {
    thread_state *state = onednn_enter();
    if (state == NULL) return dnnl_out_of_memory;
    const size_t n = weights->shape->n, k = weights->shape->k;
    const winnow_onednn_type type = weights->shape->type;
    if (type == winnow_onednn_f32) return reorder(state, weights, onednn_types[type].weights, rows);

    const size_t size = type == winnow_onednn_bf16 ? sizeof(uint16_t) : 1;
    char *converted = malloc(n * k * size);
    if (converted == NULL) return dnnl_out_of_memory;
    for (size_t r = 0; r < n; r++) {
        void *to = converted + r * k * size;
        if (type == winnow_onednn_int8) {
            int32_t sum;
            weights->scales[r] = winnow_onednn_quantize_weights(winnow_level_in_use(), rows + r * k, to, &sum, k);
            weights->shifts[r] = (onednn_largest_step + 1) * sum;
        } else {
            winnow_onednn_to_bf16(winnow_level_in_use(), rows + r * k, k, to, k, 1, k);
        }
    }
    dnnl_status_t status = reorder(state, weights, onednn_types[type].weights, converted);
    free(converted);
    return status;
}

int winnow_onednn_is_readable(const winnow_onednn_weights *weights) {
    return weights->shape->has_panels && weights->shape->type == winnow_onednn_bf16;
}

int winnow_onednn_read(const winnow_onednn_weights *weights, size_t output, float *row) {
    if (!winnow_onednn_is_readable(weights) || output >= weights->shape->n) return dnnl_invalid_arguments;
    winnow_panels_read_bf16(weights->packed, weights->shape->k, output, row);
    return dnnl_success;
}

#endif
