// What all weights of one type and size share: how they lie, and the library's products of some numbers of rows with them.
#ifndef WINNOW_ONEDNN_SHAPES_H
#define WINNOW_ONEDNN_SHAPES_H

#include "onednn_library.h"

#if HAVE_ONEDNN

#include <pthread.h>

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
} onednn_product;

enum { most_products = 32 };

typedef struct onednn_shape {
    struct onednn_shape *next;
    winnow_onednn_type type;
    size_t n, k, owners;
    // How the weights lie, for every number of rows.
    layout weights;
    // Whether that is in panels, of which the kernels of this package multiply a few rows.
    int has_panels;
    pthread_mutex_t lock;
    onednn_product *products[most_products];
    size_t count, clock;
} onednn_shape;

// The shape of weights [n, k], until it is returned; null where the library has no product of it.
onednn_shape *onednn_shape_take(winnow_onednn_type type, size_t n, size_t k);
void onednn_shape_return(onednn_shape *it);

// Finds or makes a product, and holds it until it is returned.
dnnl_status_t onednn_product_take(onednn_product **out, onednn_shape *shape, size_t m, size_t lda, size_t ldc,
                                  int accumulate);
void onednn_product_return(onednn_shape *shape, onednn_product *it);

#endif

#endif
