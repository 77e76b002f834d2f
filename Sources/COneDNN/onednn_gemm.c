#include "onednn_gemm.h"

#include "conversions.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#define HAVE_ONEDNN 1
#elif __has_include(<dnnl.h>)
#include <dnnl.h>
#define HAVE_ONEDNN 1
#else
#define HAVE_ONEDNN 0
#endif

#if HAVE_ONEDNN && (DNNL_VERSION_MAJOR == 2 || DNNL_VERSION_MAJOR == 3)

// --- The library

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

#define FUNCTIONS(F)                                                                                              \
    F(version) F(get_effective_cpu_isa) F(engine_create)                                                          \
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

static struct {
#define DECLARE(name) __typeof__(dnnl_##name) *name;
    FUNCTIONS(DECLARE)
    FUNCTIONS_OF_VERSION(DECLARE)
#undef DECLARE
    // Null for a library without OpenMP.
    void (*omp_set_num_threads)(int);
} dnnl;

static dnnl_engine_t engine;
static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char problem[512];
static char version[64];
static int supported[3];
static int largest_step = 127;

// --- What differs between versions 2 and 3: the descriptor of a matrix is a value in one and an object in the other.

#if DNNL_VERSION_MAJOR == 3

typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t const_layout;

static void layout_free(layout it) {
    if (it != NULL) dnnl.memory_desc_destroy(it);
}

static dnnl_status_t layout_strided(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                    const dnnl_dims_t strides) {
    return dnnl.memory_desc_create_with_strides(out, 2, dims, type, strides);
}

static dnnl_status_t layout_any(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type) {
    return dnnl.memory_desc_create_with_tag(out, 2, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t layout_copy(layout *out, const_layout from) { return dnnl.memory_desc_clone(out, from); }

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, const_layout a, const_layout weights, const_layout c,
                                     const_dnnl_primitive_attr_t attributes) {
    return dnnl.matmul_primitive_desc_create(out, engine, a, weights, NULL, c, attributes);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) {
    return dnnl.post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
}

#else

typedef dnnl_memory_desc_t *layout;
typedef const dnnl_memory_desc_t *const_layout;

static void layout_free(layout it) { free(it); }

static dnnl_status_t layout_strided(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                    const dnnl_dims_t strides) {
    *out = malloc(sizeof **out);
    return *out == NULL ? dnnl_out_of_memory : dnnl.memory_desc_init_by_strides(*out, 2, dims, type, strides);
}

static dnnl_status_t layout_any(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type) {
    *out = malloc(sizeof **out);
    return *out == NULL ? dnnl_out_of_memory : dnnl.memory_desc_init_by_tag(*out, 2, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t layout_copy(layout *out, const_layout from) {
    *out = malloc(sizeof **out);
    if (*out == NULL) return dnnl_out_of_memory;
    **out = *from;
    return dnnl_success;
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, const_layout a, const_layout weights, const_layout c,
                                     const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t description;
    dnnl_status_t status = dnnl.matmul_desc_init(&description, a, weights, NULL, c);
    return status != dnnl_success ? status
                                  : dnnl.primitive_desc_create(out, &description, attributes, engine, NULL);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) { return dnnl.post_ops_append_sum(operations, 1.0f); }

#endif

// --- Descriptors

static const struct {
    dnnl_data_type_t a, weights, c;
    size_t a_size;
} types[] = {
    [winnow_onednn_f32] = {dnnl_f32, dnnl_f32, dnnl_f32, 4},
    [winnow_onednn_bf16] = {dnnl_bf16, dnnl_bf16, dnnl_f32, 2},
    // Bytes without sign: the VNNI instructions want them so. What that adds to a sum is taken away with the scaling.
    [winnow_onednn_int8] = {dnnl_u8, dnnl_s8, dnnl_s32, 1},
};

static dnnl_status_t row_major(layout *out, size_t rows, size_t columns, size_t stride, dnnl_data_type_t type) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    const dnnl_dims_t strides = {(dnnl_dim_t)stride, 1};
    return layout_strided(out, dims, type, strides);
}

// A matrix of rows and columns that lies in memory as its transpose.
static dnnl_status_t column_major(layout *out, size_t rows, size_t columns, size_t stride, dnnl_data_type_t type) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    const dnnl_dims_t strides = {1, (dnnl_dim_t)stride};
    return layout_strided(out, dims, type, strides);
}

// Describes C [m, n] = A [m, k] W [k, n], with W laid out as the library likes if `weights` is null. Hands out the
// layouts of A and C on request.
static dnnl_status_t describe(dnnl_primitive_desc_t *out, winnow_onednn_type type, size_t m, size_t n, size_t k,
                              size_t lda, size_t ldc, int accumulate, const_layout weights, layout *a_out,
                              layout *c_out) {
    layout a = NULL, any = NULL, c = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t operations = NULL;
    const dnnl_dims_t dims = {(dnnl_dim_t)k, (dnnl_dim_t)n};
    dnnl_status_t status = row_major(&a, m, k, lda, types[type].a);
    if (status == dnnl_success) status = row_major(&c, m, n, ldc, types[type].c);
    if (status == dnnl_success && weights == NULL) status = layout_any(&any, dims, types[type].weights);
    if (status == dnnl_success) status = dnnl.primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = dnnl.primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && accumulate) {
        status = dnnl.post_ops_create(&operations);
        if (status == dnnl_success) status = append_sum(operations);
        if (status == dnnl_success) status = dnnl.primitive_attr_set_post_ops(attributes, operations);
    }
    if (status == dnnl_success) status = describe_matmul(out, a, weights != NULL ? weights : any, c, attributes);
    if (operations != NULL) dnnl.post_ops_destroy(operations);
    if (attributes != NULL) dnnl.primitive_attr_destroy(attributes);
    layout_free(any);
    if (status == dnnl_success && a_out != NULL) {
        *a_out = a;
        *c_out = c;
    } else {
        layout_free(a);
        layout_free(c);
    }
    return status;
}

static void kernel_name(const_dnnl_primitive_desc_t description, char *text, size_t size) {
    const char *name = NULL;
    if (dnnl.primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success) name = NULL;
    snprintf(text, size, "%s", name != NULL ? name : "unknown");
}

// Whether a kernel is the plain one that can do everything and takes forever.
static int is_reference(const char *kernel) { return strstr(kernel, "ref") != NULL; }

// --- Each thread's own

typedef struct {
    dnnl_stream_t stream;
    // The library's scratch memory, and rows of A and C that had to be packed.
    void *scratch, *a, *c;
    size_t scratch_size, a_size, c_size;
} thread_state;

static void thread_end(void *pointer) {
    thread_state *state = pointer;
    if (state->stream != NULL) dnnl.stream_destroy(state->stream);
    free(state->scratch);
    free(state->a);
    free(state->c);
    free(state);
}

// The calling thread's state. OpenMP counts threads per calling thread, so each is set to one when it first comes.
static thread_state *enter(void) {
    thread_state *state = pthread_getspecific(thread_key);
    if (state != NULL) return state;
    state = calloc(1, sizeof *state);
    if (state == NULL) return NULL;
    if (dnnl.omp_set_num_threads != NULL) dnnl.omp_set_num_threads(1);
    if (dnnl.stream_create(&state->stream, engine, dnnl_stream_default_flags) != dnnl_success ||
        pthread_setspecific(thread_key, state) != 0) {
        thread_end(state);
        return NULL;
    }
    return state;
}

static void *aligned(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }

static void *grown(void **memory, size_t *size, size_t needed) {
    if (*size < needed) {
        free(*memory);
        *memory = aligned(needed);
        *size = *memory != NULL ? needed : 0;
    }
    return *memory;
}

// --- Loading

static void fail(const char *what, const char *detail) {
    snprintf(problem, sizeof problem, "%s%s%s", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

static void load(void) {
    // OpenMP reads the variable while it is being loaded. It does not stay behind for child processes.
    int ask_threads = getenv("OMP_NUM_THREADS") == NULL;
    if (ask_threads) setenv("OMP_NUM_THREADS", "1", 0);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (ask_threads) unsetenv("OMP_NUM_THREADS");
    if (library == NULL) return fail(LIBRARY " cannot be loaded (Debian: libdnnl2 or libdnnl3)", dlerror());

#define FIND(name)                                                    \
    dnnl.name = (__typeof__(dnnl.name))dlsym(library, "dnnl_" #name); \
    if (dnnl.name == NULL) return fail(LIBRARY " lacks dnnl_" #name, NULL);
    FUNCTIONS(FIND)
    FUNCTIONS_OF_VERSION(FIND)
#undef FIND

    const dnnl_version_t *found = dnnl.version();
    if (found->major != DNNL_VERSION_MAJOR) return fail(LIBRARY " is of another version than the headers", NULL);
    if (found->cpu_runtime == DNNL_RUNTIME_OMP) {
        dnnl.omp_set_num_threads = (void (*)(int))dlsym(library, "omp_set_num_threads");
        if (dnnl.omp_set_num_threads == NULL)
            return fail(LIBRARY " uses OpenMP, but omp_set_num_threads is missing", NULL);
    } else if (found->cpu_runtime != DNNL_RUNTIME_SEQ) {
        return fail(LIBRARY " was built for a thread pool other than OpenMP", NULL);
    }

    if (dnnl.engine_create(&engine, dnnl_cpu, 0) != dnnl_success) return fail(LIBRARY " offers no CPU engine", NULL);
    if (pthread_key_create(&thread_key, thread_end) != 0 || enter() == NULL)
        return fail(LIBRARY ": no memory for a thread's state", NULL);

    unsigned isa = (unsigned)dnnl.get_effective_cpu_isa();
    for (int type = winnow_onednn_f32; type <= winnow_onednn_int8; type++) {
        dnnl_primitive_desc_t description = NULL;
        char name[64];
        if (describe(&description, (winnow_onednn_type)type, 256, 256, 256, 256, 256, 0, NULL, NULL, NULL) !=
            dnnl_success)
            continue;
        kernel_name(description, name, sizeof name);
        dnnl.primitive_desc_destroy(description);
        supported[type] = !is_reference(name);
    }
#if defined(__x86_64__)
    int vnni = (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni;
    int bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
    if (!vnni) largest_step = 63;
#else
    int vnni = 0, bf16 = 0;
    (void)isa;
#endif
    supported[winnow_onednn_int8] &= vnni;
    supported[winnow_onednn_bf16] &= bf16;
    snprintf(version, sizeof version, "oneDNN %d.%d.%d", found->major, found->minor, found->patch);
}

static int usable(void) {
    pthread_once(&once, load);
    return problem[0] == '\0';
}

const char *winnow_onednn_problem(void) { return usable() ? NULL : problem; }
const char *winnow_onednn_version(void) { return usable() ? version : ""; }
int winnow_onednn_supports(winnow_onednn_type type) {
    return usable() && type >= winnow_onednn_f32 && type <= winnow_onednn_int8 && supported[type];
}
int winnow_onednn_largest_step(void) {
    usable();
    return largest_step;
}

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
    // How the library wants the weights for `typical_rows`. Every number of rows gets them so.
    layout weights;
    pthread_mutex_t lock;
    product *products[most_products];
    size_t count, clock;
} shape;

static shape *shapes;
static pthread_mutex_t shapes_lock = PTHREAD_MUTEX_INITIALIZER;

// The number of rows that the library is asked about.
enum { typical_rows = 512 };

static void product_free(product *it) {
    if (it->primitive != NULL) dnnl.primitive_destroy(it->primitive);
    layout_free(it->a);
    layout_free(it->c);
    layout_free(it->scratch);
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
            describe(&candidate, shape->type, m, shape->n, shape->k, packs_a ? shape->k : lda,
                     packs_c ? shape->n : ldc, accumulate && !packs_c, shape->weights, &a, &c);
        if (outcome == dnnl_success) kernel_name(candidate, kernel, sizeof kernel);
        if (outcome != dnnl_success || (description != NULL && is_reference(kernel))) {
            if (candidate != NULL) dnnl.primitive_desc_destroy(candidate);
            layout_free(a);
            layout_free(c);
            continue;
        }
        if (description != NULL) dnnl.primitive_desc_destroy(description);
        layout_free(it->a);
        layout_free(it->c);
        description = candidate;
        status = outcome;
        it->a = a;
        it->c = c;
        it->packs_a = packs_a;
        it->packs_c = packs_c;
        memcpy(it->kernel, kernel, sizeof kernel);
        if (!is_reference(kernel)) break;
    }
    if (status == dnnl_success) {
        const_layout scratch = dnnl.primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
        it->scratch_size = scratch != NULL ? dnnl.memory_desc_get_size(scratch) : 0;
        if (it->scratch_size > 0) status = layout_copy(&it->scratch, scratch);
        if (status == dnnl_success) status = dnnl.primitive_create(&it->primitive, description);
        dnnl.primitive_desc_destroy(description);
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

static shape *shape_take(winnow_onednn_type type, size_t n, size_t k) {
    pthread_mutex_lock(&shapes_lock);
    shape *it = shapes;
    while (it != NULL && !(it->type == type && it->n == n && it->k == k)) it = it->next;
    if (it == NULL && (it = calloc(1, sizeof *it)) != NULL) {
        it->type = type;
        it->n = n;
        it->k = k;
        dnnl_primitive_desc_t description = NULL;
        dnnl_status_t status = describe(&description, type, typical_rows, n, k, k, n, 0, NULL, NULL, NULL);
        if (status == dnnl_success) {
            const_layout weights = dnnl.primitive_desc_query_md(description, dnnl_query_weights_md, 0);
            status = weights != NULL ? layout_copy(&it->weights, weights) : dnnl_runtime_error;
            dnnl.primitive_desc_destroy(description);
        }
        if (status == dnnl_success) {
            pthread_mutex_init(&it->lock, NULL);
            it->next = shapes;
            shapes = it;
        } else {
            layout_free(it->weights);
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
        layout_free(it->weights);
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
    if (!usable() || type < winnow_onednn_f32 || type > winnow_onednn_int8) return NULL;
    if (outputs == 0 || inputs == 0 || outputs > INT32_MAX || inputs > INT32_MAX) return NULL;
    // 255 * 127 * inputs must fit an Int32.
    if (type == winnow_onednn_int8 && inputs > 65536) return NULL;
    if (enter() == NULL) return NULL;
    winnow_onednn_weights *weights = calloc(1, sizeof *weights);
    if (weights == NULL) return NULL;
    weights->shape = shape_take(type, outputs, inputs);
    if (weights->shape != NULL) {
        weights->size = dnnl.memory_desc_get_size(weights->shape->weights);
        weights->packed = aligned(weights->size);
        if (type == winnow_onednn_int8) {
            weights->scales = calloc(outputs, sizeof *weights->scales);
            weights->shifts = calloc(outputs, sizeof *weights->shifts);
        }
        int whole = weights->packed != NULL &&
                    (type != winnow_onednn_int8 || (weights->scales != NULL && weights->shifts != NULL));
        if (whole && dnnl.memory_create(&weights->memory, weights->shape->weights, engine, weights->packed) ==
                         dnnl_success)
            return weights;
    }
    winnow_onednn_destroy(weights);
    return NULL;
}

void winnow_onednn_destroy(winnow_onednn_weights *weights) {
    if (weights == NULL) return;
    if (weights->memory != NULL) dnnl.memory_destroy(weights->memory);
    if (weights->shape != NULL) shape_return(weights->shape);
    free(weights->packed);
    free(weights->scales);
    free(weights->shifts);
    free(weights);
}

size_t winnow_onednn_bytes(const winnow_onednn_weights *weights) {
    size_t own = weights->scales != NULL ? weights->shape->n * (sizeof(float) + sizeof(int32_t)) : 0;
    return weights->size + own;
}

// Copies W [k, n], given as rows of its transpose, into the packed layout.
static dnnl_status_t reorder(thread_state *state, winnow_onednn_weights *weights, dnnl_data_type_t type,
                             const void *rows, size_t stride) {
    layout from = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = column_major(&from, weights->shape->k, weights->shape->n, stride, type);
    if (status == dnnl_success)
        status = dnnl.reorder_primitive_desc_create(&description, from, engine, weights->shape->weights, engine, NULL);
    if (status == dnnl_success) status = dnnl.primitive_create(&primitive, description);
    // The library takes inputs without const.
    if (status == dnnl_success) status = dnnl.memory_create(&memory, from, engine, (void *)(uintptr_t)rows);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, weights->memory}};
        status = dnnl.primitive_execute(primitive, state->stream, 2, arguments);
        if (status == dnnl_success) status = dnnl.stream_wait(state->stream);
    }
    if (memory != NULL) dnnl.memory_destroy(memory);
    if (primitive != NULL) dnnl.primitive_destroy(primitive);
    if (description != NULL) dnnl.primitive_desc_destroy(description);
    layout_free(from);
    return status;
}

int winnow_onednn_pack(winnow_onednn_weights *weights, winnow_onednn_type source, const void *rows, size_t stride) {
    if (source != winnow_onednn_f32 && source != winnow_onednn_bf16) return dnnl_invalid_arguments;
    thread_state *state = enter();
    if (state == NULL) return dnnl_out_of_memory;
    winnow_onednn_type type = weights->shape->type;
    if (type == source) return reorder(state, weights, types[type].weights, rows, stride);

    size_t n = weights->shape->n, k = weights->shape->k;
    size_t source_size = source == winnow_onednn_f32 ? 4 : 2;
    size_t size = type == winnow_onednn_f32 ? 4 : type == winnow_onednn_bf16 ? 2 : 1;
    char *converted = malloc(n * k * size);
    if (converted == NULL) return dnnl_out_of_memory;
    winnow_conversion_level level = winnow_conversion_cpu_level();
    for (size_t r = 0; r < n; r++) {
        const char *row = (const char *)rows + r * stride * source_size;
        char *to = converted + r * k * size;
        if (type == winnow_onednn_int8) {
            int32_t sum;
            weights->scales[r] = winnow_onednn_quantize_weights(source, row, (int8_t *)to, &sum, k);
            weights->shifts[r] = (largest_step + 1) * sum;
        } else if (type == winnow_onednn_bf16) {
            winnow_onednn_to_bf16(level, (const float *)(const void *)row, k, (uint16_t *)(void *)to, k, 1, k);
        } else {
            winnow_onednn_from_bf16((const uint16_t *)(const void *)row, (float *)(void *)to, k);
        }
    }
    dnnl_status_t status = reorder(state, weights, types[type].weights, converted, k);
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
    thread_state *state = enter();
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
        size_t row = shape->k * types[shape->type].a_size;
        source = grown(&state->a, &state->a_size, m * row);
        for (size_t r = 0; r < m && source != NULL; r++)
            memcpy((char *)source + r * row, (const char *)a + r * lda * types[shape->type].a_size, row);
    }
    if (product->packs_c || sums_apart) to = grown(&state->c, &state->c_size, m * shape->n * sizeof(float));

    dnnl_memory_t from = NULL, into = NULL, scratch = NULL;
    status = source != NULL && to != NULL ? dnnl_success : dnnl_out_of_memory;
    if (status == dnnl_success) status = dnnl.memory_create(&from, product->a, engine, source);
    if (status == dnnl_success) status = dnnl.memory_create(&into, product->c, engine, to);
    if (status == dnnl_success && product->scratch_size > 0) {
        void *memory = grown(&state->scratch, &state->scratch_size, product->scratch_size);
        status = memory != NULL ? dnnl.memory_create(&scratch, product->scratch, engine, memory) : dnnl_out_of_memory;
    }
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, from},
                                             {DNNL_ARG_WEIGHTS, weights->memory},
                                             {DNNL_ARG_DST, into},
                                             {DNNL_ARG_SCRATCHPAD, scratch}};
        status = dnnl.primitive_execute(product->primitive, state->stream, scratch != NULL ? 4 : 3, arguments);
        if (status == dnnl_success) status = dnnl.stream_wait(state->stream);
    }
    if (from != NULL) dnnl.memory_destroy(from);
    if (into != NULL) dnnl.memory_destroy(into);
    if (scratch != NULL) dnnl.memory_destroy(scratch);
    int unpacks = product->packs_c;
    product_return(shape, product);
    if (status != dnnl_success) return status;
    if (int8)
        winnow_onednn_scale_sums(winnow_conversion_cpu_level(), to, shape->n, weights->shifts, scales, weights->scales,
                                 c, ldc, m, shape->n, accumulate);
    else if (unpacks)
        winnow_onednn_copy_rows(to, shape->n, c, ldc, m, shape->n, accumulate);
    return dnnl_success;
}

int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size) {
    if (enter() == NULL) return dnnl_out_of_memory;
    shape *shape = weights->shape;
    product *product = NULL;
    dnnl_status_t status = product_take(&product, shape, m, shape->k, shape->n, 0);
    if (status != dnnl_success) return status;
    snprintf(text, size, "%s", product->kernel);
    product_return(shape, product);
    return status;
}

#else

// --- Without headers: everything says no.

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

int winnow_onednn_pack(winnow_onednn_weights *weights, winnow_onednn_type source, const void *rows, size_t stride) {
    (void)weights, (void)source, (void)rows, (void)stride;
    return -1;
}

int winnow_onednn_multiply(const winnow_onednn_weights *weights, size_t m, const void *a, size_t lda,
                           const float *scales, float *c, size_t ldc, int accumulate) {
    (void)weights, (void)m, (void)a, (void)lda, (void)scales, (void)c, (void)ldc, (void)accumulate;
    return -1;
}

int winnow_onednn_kernel(const winnow_onednn_weights *weights, size_t m, char *text, size_t size) {
    (void)weights, (void)m, (void)text, (void)size;
    return -1;
}

#endif
