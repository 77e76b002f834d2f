#include "conversions.h"
#include "onednn_library.h"

#if HAVE_ONEDNN

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "panels.h"

// --- Shapes: what all weights of one type and size share

// The product of one number of rows.
typedef struct {
    size_t m, lda, ldc;
    int accumulate;
    // Whether it wants the rows of A or C without gaps, although they have some.
    int packs_a, packs_c;
    dnnl_primitive_t primitive;
    layout a, c, scratch;
    size_t scratch_size;
    char kernel[64];
    // Under the shape's lock: calls under way, the time of the last one, and whether the cache has let go of it.
    size_t users, used;
    int evicted;
} product;

enum { most_products = 32 };

typedef struct shape {
    struct shape *next;
    winnow_onednn_type type;
    size_t n, k, owners;
    // How the weights lie, for every number of rows.
    layout weights;
    // Whether that is in panels, of which the kernels of this package multiply a few rows.
    int has_panels;
    pthread_mutex_t lock;
    product *products[most_products];
    size_t count, clock;
} shape;

static shape *shapes;
static pthread_mutex_t shapes_lock = PTHREAD_MUTEX_INITIALIZER;

// The number of rows that the library is asked about.
enum { typical_rows = 512 };

static void product_free(product *it) {
    if (it->primitive != NULL) onednn.primitive_destroy(it->primitive);
    onednn_layout_free(it->a);
    onednn_layout_free(it->c);
    onednn_layout_free(it->scratch);
    free(it);
}

static dnnl_status_t product_make(product **out, const shape *shape, size_t m, size_t lda, size_t ldc,
                                  int accumulate) {
    product *it = calloc(1, sizeof *it);
    if (it == NULL) return dnnl_out_of_memory;
    it->m = m;
    it->lda = lda;
    it->ldc = ldc;
    it->accumulate = accumulate;
    // Version 2 has fast kernels only for rows without gaps: try as asked, then with C, A and both packed.
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = dnnl_unimplemented;
    for (int attempt = 0; attempt < 4; attempt++) {
        int packs_c = attempt & 1, packs_a = attempt >> 1;
        if ((packs_c && ldc == shape->n) || (packs_a && lda == shape->k)) continue;
        dnnl_primitive_desc_t candidate = NULL;
        layout a = NULL, c = NULL;
        char kernel[sizeof it->kernel];
        dnnl_status_t outcome =
            onednn_describe(&candidate, shape->type, m, shape->n, shape->k, packs_a ? shape->k : lda,
                     packs_c ? shape->n : ldc, accumulate && !packs_c, shape->weights, &a, &c);
        if (outcome == dnnl_success) onednn_kernel_name(candidate, kernel, sizeof kernel);
        if (outcome != dnnl_success || (description != NULL && onednn_is_reference(kernel))) {
            if (candidate != NULL) onednn.primitive_desc_destroy(candidate);
            onednn_layout_free(a);
            onednn_layout_free(c);
            continue;
        }
        if (description != NULL) onednn.primitive_desc_destroy(description);
        onednn_layout_free(it->a);
        onednn_layout_free(it->c);
        description = candidate;
        status = outcome;
        it->a = a;
        it->c = c;
        it->packs_a = packs_a;
        it->packs_c = packs_c;
        memcpy(it->kernel, kernel, sizeof kernel);
        if (!onednn_is_reference(kernel)) break;
    }
    if (status == dnnl_success) {
        const_layout scratch = onednn.primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
        it->scratch_size = scratch != NULL ? onednn.memory_desc_get_size(scratch) : 0;
        if (it->scratch_size > 0) status = onednn_layout_copy(&it->scratch, scratch);
        if (status == dnnl_success) status = onednn.primitive_create(&it->primitive, description);
        onednn.primitive_desc_destroy(description);
    }
    if (status != dnnl_success) {
        product_free(it);
        return status;
    }
    *out = it;
    return dnnl_success;
}

// Finds or makes a product, and holds it until `product_return`.
static dnnl_status_t product_take(product **out, shape *shape, size_t m, size_t lda, size_t ldc, int accumulate) {
    dnnl_status_t status = dnnl_success;
    product *found = NULL;
    pthread_mutex_lock(&shape->lock);
    for (size_t i = 0; i < shape->count && found == NULL; i++) {
        product *it = shape->products[i];
        if (it->m == m && it->lda == lda && it->ldc == ldc && it->accumulate == accumulate) found = it;
    }
    if (found == NULL) {
        status = product_make(&found, shape, m, lda, ldc, accumulate);
        if (status == dnnl_success) {
            size_t place = shape->count;
            if (place < most_products) {
                shape->count++;
            } else {
                place = 0;
                for (size_t i = 1; i < most_products; i++)
                    if (shape->products[i]->used < shape->products[place]->used) place = i;
                product *oldest = shape->products[place];
                oldest->evicted = 1;
                if (oldest->users == 0) product_free(oldest);
            }
            shape->products[place] = found;
        }
    }
    if (status == dnnl_success) {
        found->users++;
        found->used = ++shape->clock;
        *out = found;
    }
    pthread_mutex_unlock(&shape->lock);
    return status;
}

static void product_return(shape *shape, product *it) {
    pthread_mutex_lock(&shape->lock);
    if (--it->users == 0 && it->evicted) product_free(it);
    pthread_mutex_unlock(&shape->lock);
}

// Chooses how weights lie: in panels, if the library multiplies `typical_rows` with them fast, else as it likes.
static dnnl_status_t shape_choose(shape *it) {
    const size_t n = it->n, k = it->k;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = dnnl_unimplemented;
    if (onednn_has_panels(it->type) && onednn_panels(&it->weights, it->type, k, n) == dnnl_success) {
        char kernel[64];
        status = onednn_describe(&description, it->type, typical_rows, n, k, k, n, 0, it->weights, NULL, NULL);
        if (status == dnnl_success) {
            onednn_kernel_name(description, kernel, sizeof kernel);
            onednn.primitive_desc_destroy(description);
            it->has_panels = !onednn_is_reference(kernel);
        }
        if (it->has_panels) return dnnl_success;
    }
    onednn_layout_free(it->weights);
    it->weights = NULL;
    status = onednn_describe(&description, it->type, typical_rows, n, k, k, n, 0, NULL, NULL, NULL);
    if (status != dnnl_success) return status;
    const_layout weights = onednn.primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    status = weights != NULL ? onednn_layout_copy(&it->weights, weights) : dnnl_runtime_error;
    onednn.primitive_desc_destroy(description);
    return status;
}

static shape *shape_take(winnow_onednn_type type, size_t n, size_t k) {
    pthread_mutex_lock(&shapes_lock);
    shape *it = shapes;
    while (it != NULL && !(it->type == type && it->n == n && it->k == k)) it = it->next;
    if (it == NULL && (it = calloc(1, sizeof *it)) != NULL) {
        it->type = type;
        it->n = n;
        it->k = k;
        if (shape_choose(it) == dnnl_success) {
            pthread_mutex_init(&it->lock, NULL);
            it->next = shapes;
            shapes = it;
        } else {
            onednn_layout_free(it->weights);
            free(it);
            it = NULL;
        }
    }
    if (it != NULL) it->owners++;
    pthread_mutex_unlock(&shapes_lock);
    return it;
}

static void shape_return(shape *it) {
    pthread_mutex_lock(&shapes_lock);
    if (--it->owners == 0) {
        shape **place = &shapes;
        while (*place != it) place = &(*place)->next;
        *place = it->next;
        for (size_t i = 0; i < it->count; i++) product_free(it->products[i]);
        pthread_mutex_destroy(&it->lock);
        onednn_layout_free(it->weights);
        free(it);
    }
    pthread_mutex_unlock(&shapes_lock);
}

// --- Weights

struct winnow_onednn_weights {
    shape *shape;
    void *packed;
    size_t size;
    dnnl_memory_t memory;
    // int8 only: the scale of every output, and the sum of its weights times the byte that stands for 0.
    float *scales;
    int32_t *shifts;
};

winnow_onednn_weights *winnow_onednn_create(winnow_onednn_type type, size_t outputs, size_t inputs) {
    if (!onednn_usable() || type < winnow_onednn_f32 || type > winnow_onednn_int8) return NULL;
    if (outputs == 0 || inputs == 0 || outputs > INT32_MAX || inputs > INT32_MAX) return NULL;
    // 255 * 127 * inputs must fit an Int32.
    if (type == winnow_onednn_int8 && inputs > 65536) return NULL;
    if (onednn_enter() == NULL) return NULL;
    winnow_onednn_weights *weights = calloc(1, sizeof *weights);
    if (weights == NULL) return NULL;
    weights->shape = shape_take(type, outputs, inputs);
    if (weights->shape != NULL) {
        weights->size = onednn.memory_desc_get_size(weights->shape->weights);
        weights->packed = winnow_memory(weights->size);
        if (type == winnow_onednn_int8) {
            weights->scales = calloc(outputs, sizeof *weights->scales);
            weights->shifts = calloc(outputs, sizeof *weights->shifts);
        }
        int whole = weights->packed != NULL &&
                    (type != winnow_onednn_int8 || (weights->scales != NULL && weights->shifts != NULL));
        if (whole && onednn.memory_create(&weights->memory, weights->shape->weights, onednn_engine, weights->packed) ==
                         dnnl_success)
            return weights;
    }
    winnow_onednn_destroy(weights);
    return NULL;
}

void winnow_onednn_destroy(winnow_onednn_weights *weights) {
    if (weights == NULL) return;
    if (weights->memory != NULL) onednn.memory_destroy(weights->memory);
    if (weights->shape != NULL) shape_return(weights->shape);
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
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = onednn_column_major(&from, weights->shape->k, weights->shape->n, weights->shape->k, type);
    if (status == dnnl_success)
        status = onednn.reorder_primitive_desc_create(&description, from, onednn_engine, weights->shape->weights, onednn_engine, NULL);
    if (status == dnnl_success) status = onednn.primitive_create(&primitive, description);
    // The library takes inputs without const.
    if (status == dnnl_success) status = onednn.memory_create(&memory, from, onednn_engine, (void *)(uintptr_t)rows);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, weights->memory}};
        status = onednn.primitive_execute(primitive, state->stream, 2, arguments);
        if (status == dnnl_success) status = onednn.stream_wait(state->stream);
    }
    if (memory != NULL) onednn.memory_destroy(memory);
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

// --- Products

int winnow_onednn_multiply(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda,
                           const float *scales, float *c, size_t ldc, int accumulate) {
    if (m == 0) return dnnl_success;
    shape *shape = weights->shape;
    int int8 = shape->type == winnow_onednn_int8;
    if (lda < shape->k || ldc < shape->n || m > INT32_MAX || int8 != (scales != NULL)) return dnnl_invalid_arguments;
    if (shape->has_panels && m <= winnow_panel_rows) {
        if (int8)
            winnow_panels_int8(winnow_level_in_use(), weights->packed, shape->n, shape->k, m, a, lda, scales,
                               weights->scales, weights->shifts, c, ldc, accumulate);
        else
            winnow_panels_bf16(winnow_level_in_use(), weights->packed, shape->n, shape->k, m, a, lda, c, ldc, accumulate);
        return dnnl_success;
    }
    thread_state *state = onednn_enter();
    if (state == NULL) return dnnl_out_of_memory;

    // One row has no gaps.
    if (m == 1) {
        lda = shape->k;
        ldc = shape->n;
    }
    // int8: the sums become floats where they lie, or lie apart when they are to be added or C has gaps.
    int sums_apart = int8 && (accumulate || ldc != shape->n);
    product *product = NULL;
    dnnl_status_t status = product_take(&product, shape, m, lda, int8 ? shape->n : ldc, accumulate && !int8);
    if (status != dnnl_success) return status;

    // The library takes inputs without const.
    void *source = (void *)(uintptr_t)a, *to = c;
    if (product->packs_a) {
        size_t row = shape->k * onednn_types[shape->type].a_size;
        source = onednn_grown(&state->a, &state->a_size, m * row);
        for (size_t r = 0; r < m && source != NULL; r++)
            memcpy((char *)source + r * row, (const char *)a + r * lda * onednn_types[shape->type].a_size, row);
    }
    if (product->packs_c || sums_apart) to = onednn_grown(&state->c, &state->c_size, m * shape->n * sizeof(float));

    dnnl_memory_t from = NULL, into = NULL, scratch = NULL;
    status = source != NULL && to != NULL ? dnnl_success : dnnl_out_of_memory;
    if (status == dnnl_success) status = onednn.memory_create(&from, product->a, onednn_engine, source);
    if (status == dnnl_success) status = onednn.memory_create(&into, product->c, onednn_engine, to);
    if (status == dnnl_success && product->scratch_size > 0) {
        void *memory = onednn_grown(&state->scratch, &state->scratch_size, product->scratch_size);
        status = memory != NULL ? onednn.memory_create(&scratch, product->scratch, onednn_engine, memory) : dnnl_out_of_memory;
    }
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, from},
                                             {DNNL_ARG_WEIGHTS, weights->memory},
                                             {DNNL_ARG_DST, into},
                                             {DNNL_ARG_SCRATCHPAD, scratch}};
        status = onednn.primitive_execute(product->primitive, state->stream, scratch != NULL ? 4 : 3, arguments);
        if (status == dnnl_success) status = onednn.stream_wait(state->stream);
    }
    if (from != NULL) onednn.memory_destroy(from);
    if (into != NULL) onednn.memory_destroy(into);
    if (scratch != NULL) onednn.memory_destroy(scratch);
    int unpacks = product->packs_c;
    product_return(shape, product);
    if (status != dnnl_success) return status;
    if (int8)
        winnow_onednn_scale_sums(winnow_level_in_use(), to, shape->n, weights->shifts, scales, weights->scales,
                                 c, ldc, m, shape->n, accumulate);
    else if (unpacks)
        winnow_onednn_copy_rows(to, shape->n, c, ldc, m, shape->n, accumulate);
    return dnnl_success;
}

int winnow_onednn_read(const winnow_onednn_weights *weights, size_t output, float *row) {
    if (!winnow_onednn_is_readable(weights) || output >= weights->shape->n) return dnnl_invalid_arguments;
    winnow_panels_read_bf16(weights->packed, weights->shape->k, output, row);
    return dnnl_success;
}

int winnow_onednn_is_readable(const winnow_onednn_weights *weights) {
    return weights->shape->has_panels && weights->shape->type == winnow_onednn_bf16;
}

int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size) {
    if (onednn_enter() == NULL) return dnnl_out_of_memory;
    shape *shape = weights->shape;
    product *product = NULL;
    dnnl_status_t status = product_take(&product, shape, m, shape->k, shape->n, 0);
    if (status != dnnl_success) return status;
    snprintf(text, size, "%s", product->kernel);
    product_return(shape, product);
    return status;
}

#endif
