#include "onednn_shapes.h"

#if HAVE_ONEDNN

#include <stdlib.h>

static onednn_shape *shapes;
static pthread_mutex_t shapes_lock = PTHREAD_MUTEX_INITIALIZER;

// The number of rows that the library is asked about.
enum { typical_rows = 512 };

static void product_free(onednn_product *it) {
    if (it->primitive != NULL) onednn.primitive_destroy(it->primitive);
    onednn_layout_free(it->a);
    onednn_layout_free(it->c);
    onednn_layout_free(it->scratch);
    free(it);
}

static dnnl_status_t product_make(onednn_product **out, const onednn_shape *shape, size_t m, size_t lda, size_t ldc,
                                  int accumulate) {
    onednn_product *it = calloc(1, sizeof *it);
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

dnnl_status_t onednn_product_take(onednn_product **out, onednn_shape *shape, size_t m, size_t lda, size_t ldc,
                                  int accumulate) {
    dnnl_status_t status = dnnl_success;
    onednn_product *found = NULL;
    pthread_mutex_lock(&shape->lock);
    for (size_t i = 0; i < shape->count && found == NULL; i++) {
        onednn_product *it = shape->products[i];
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
                onednn_product *oldest = shape->products[place];
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

void onednn_product_return(onednn_shape *shape, onednn_product *it) {
    pthread_mutex_lock(&shape->lock);
    if (--it->users == 0 && it->evicted) product_free(it);
    pthread_mutex_unlock(&shape->lock);
}

// Chooses how weights lie: in panels, if the library multiplies `typical_rows` with them fast, else as it likes.
static dnnl_status_t shape_choose(onednn_shape *it) {
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

onednn_shape *onednn_shape_take(winnow_onednn_type type, size_t n, size_t k) {
    pthread_mutex_lock(&shapes_lock);
    onednn_shape *it = shapes;
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

void onednn_shape_return(onednn_shape *it) {
    pthread_mutex_lock(&shapes_lock);
    if (--it->owners == 0) {
        onednn_shape **place = &shapes;
        while (*place != it) place = &(*place)->next;
        *place = it->next;
        for (size_t i = 0; i < it->count; i++) product_free(it->products[i]);
        pthread_mutex_destroy(&it->lock);
        onednn_layout_free(it->weights);
        free(it);
    }
    pthread_mutex_unlock(&shapes_lock);
}

#endif
