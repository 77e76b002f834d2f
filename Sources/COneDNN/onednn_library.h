// oneDNN as this module sees it: found at run time, its functions in a table, what differs between versions 2 and 3 hidden.
#ifndef WINNOW_ONEDNN_LIBRARY_H
#define WINNOW_ONEDNN_LIBRARY_H

#include "onednn_gemm.h"

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#elif __has_include(<dnnl.h>)
#include <dnnl.h>
#endif

#if defined(DNNL_VERSION_MAJOR) && (DNNL_VERSION_MAJOR == 2 || DNNL_VERSION_MAJOR == 3)
#define HAVE_ONEDNN 1

#include <string.h>

#define FUNCTIONS(F)                                                                                              \
    F(version) F(set_max_cpu_isa) F(get_effective_cpu_isa) F(engine_create)                                       \
    F(stream_create) F(stream_destroy) F(stream_wait)                                                             \
    F(memory_create) F(memory_destroy) F(memory_desc_get_size)                                                    \
    F(primitive_attr_create) F(primitive_attr_destroy) F(primitive_attr_set_scratchpad_mode)                      \
    F(primitive_attr_set_post_ops) F(post_ops_create) F(post_ops_destroy) F(post_ops_append_sum)                  \
    F(primitive_desc_query) F(primitive_desc_query_md) F(primitive_desc_destroy) F(reorder_primitive_desc_create) \
    F(primitive_create) F(primitive_destroy) F(primitive_execute)

#if DNNL_VERSION_MAJOR == 3
#define FUNCTIONS_OF_VERSION(F)                                                                                   \
    F(memory_desc_create_with_strides) F(memory_desc_create_with_tag) F(memory_desc_clone) F(memory_desc_destroy) \
    F(matmul_primitive_desc_create)
#else
#define FUNCTIONS_OF_VERSION(F) \
    F(memory_desc_init_by_strides) F(memory_desc_init_by_tag) F(matmul_desc_init) F(primitive_desc_create)
#endif

struct onednn_functions {
#define DECLARE(name) __typeof__(dnnl_##name) *name;
    FUNCTIONS(DECLARE)
    FUNCTIONS_OF_VERSION(DECLARE)
#undef DECLARE
    // Null for a library without OpenMP.
    void (*omp_set_num_threads)(int);
};

// These are set once `onednn_usable` has said yes.
extern struct onednn_functions onednn;
extern dnnl_engine_t onednn_engine;
// How far int8 activations go either side of 0; see `winnow_onednn_largest_step`.
extern int onednn_largest_step;

// Loads the library on the first call.
int onednn_usable(void);

// The descriptor of a matrix: a value in version 2, an object in version 3.
#if DNNL_VERSION_MAJOR == 3
typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t const_layout;
#else
typedef dnnl_memory_desc_t *layout;
typedef const dnnl_memory_desc_t *const_layout;
#endif

void onednn_layout_free(layout it);
dnnl_status_t onednn_layout_copy(layout *out, const_layout from);
// A matrix of rows and columns that lies in memory as its transpose.
dnnl_status_t onednn_column_major(layout *out, size_t rows, size_t columns, size_t stride, dnnl_data_type_t type);

// Whether the kernels of this package multiply weights of the type in panels (panels.h) at the level in use.
int onednn_has_panels(winnow_onednn_type type);
// A matrix of weights [k, n] in panels.
dnnl_status_t onednn_panels(layout *out, winnow_onednn_type type, size_t k, size_t n);

typedef struct {
    dnnl_data_type_t a, weights, c;
    size_t a_size;
} onednn_number_types;

// By `winnow_onednn_type`.
extern const onednn_number_types onednn_types[3];

// Describes C [m, n] = A [m, k] W [k, n], with W laid out as the library likes if `weights` is null. Hands out the
// layouts of A and C on request.
dnnl_status_t onednn_describe(dnnl_primitive_desc_t *out, winnow_onednn_type type, size_t m, size_t n, size_t k,
                              size_t lda, size_t ldc, int accumulate, const_layout weights, layout *a_out,
                              layout *c_out);

void onednn_kernel_name(const_dnnl_primitive_desc_t description, char *text, size_t size);

// Whether a kernel is the plain one that can do everything and takes forever.
static inline int onednn_is_reference(const char *kernel) { return strstr(kernel, "ref") != NULL; }

// Each thread's own.
typedef struct {
    dnnl_stream_t stream;
    // The library's scratch memory, rows of A and C that had to be packed, and gates and ups before they become one.
    void *scratch, *a, *c, *gated;
    size_t scratch_size, a_size, c_size, gated_size;
} thread_state;

// The calling thread's state; null without memory.
thread_state *onednn_enter(void);

void *onednn_aligned(size_t size);
// Makes room for `needed` bytes; what was there is lost. Null without memory.
void *onednn_grown(void **memory, size_t *size, size_t needed);

#else
#define HAVE_ONEDNN 0
#endif

#endif
