#include "onednn_library.h"

#if HAVE_ONEDNN

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)

struct onednn_functions onednn;
dnnl_engine_t onednn_engine;
int onednn_largest_step = 127;

static pthread_key_t thread_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char problem[512];
static char version[64];
static int supported[3];

// --- What differs between versions 2 and 3

#if DNNL_VERSION_MAJOR == 3

void onednn_layout_free(layout it) {
    if (it != NULL) onednn.memory_desc_destroy(it);
}

static dnnl_status_t layout_strided(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                    const dnnl_dims_t strides) {
    return onednn.memory_desc_create_with_strides(out, 2, dims, type, strides);
}

static dnnl_status_t layout_tagged(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    return onednn.memory_desc_create_with_tag(out, 2, dims, type, tag);
}

dnnl_status_t onednn_layout_copy(layout *out, const_layout from) { return onednn.memory_desc_clone(out, from); }

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, const_layout a, const_layout weights, const_layout c,
                                     const_dnnl_primitive_attr_t attributes) {
    return onednn.matmul_primitive_desc_create(out, onednn_engine, a, weights, NULL, c, attributes);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) {
    return onednn.post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
}

#else

void onednn_layout_free(layout it) { free(it); }

static dnnl_status_t layout_strided(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                    const dnnl_dims_t strides) {
    *out = malloc(sizeof **out);
    return *out == NULL ? dnnl_out_of_memory : onednn.memory_desc_init_by_strides(*out, 2, dims, type, strides);
}

static dnnl_status_t layout_tagged(layout *out, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    *out = malloc(sizeof **out);
    return *out == NULL ? dnnl_out_of_memory : onednn.memory_desc_init_by_tag(*out, 2, dims, type, tag);
}

dnnl_status_t onednn_layout_copy(layout *out, const_layout from) {
    *out = malloc(sizeof **out);
    if (*out == NULL) return dnnl_out_of_memory;
    **out = *from;
    return dnnl_success;
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, const_layout a, const_layout weights, const_layout c,
                                     const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t description;
    dnnl_status_t status = onednn.matmul_desc_init(&description, a, weights, NULL, c);
    return status != dnnl_success ? status
                                  : onednn.primitive_desc_create(out, &description, attributes, onednn_engine, NULL);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) { return onednn.post_ops_append_sum(operations, 1.0f); }

#endif

// --- Descriptors

const onednn_number_types onednn_types[3] = {
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

dnnl_status_t onednn_column_major(layout *out, size_t rows, size_t columns, size_t stride, dnnl_data_type_t type) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    const dnnl_dims_t strides = {1, (dnnl_dim_t)stride};
    return layout_strided(out, dims, type, strides);
}

int onednn_has_panels(winnow_onednn_type type) {
    const winnow_level level = winnow_level_in_use();
    return (type == winnow_onednn_bf16 && level >= winnow_level_avx512_bf16) ||
           (type == winnow_onednn_int8 && level >= winnow_level_avx512_vnni);
}

dnnl_status_t onednn_panels(layout *out, winnow_onednn_type type, size_t k, size_t n) {
    const dnnl_dims_t dims = {(dnnl_dim_t)k, (dnnl_dim_t)n};
    return layout_tagged(out, dims, onednn_types[type].weights,
                         type == winnow_onednn_int8 ? dnnl_BA16a64b4a : dnnl_BA16a64b2a);
}

dnnl_status_t onednn_describe(dnnl_primitive_desc_t *out, winnow_onednn_type type, size_t m, size_t n, size_t k,
                              size_t lda, size_t ldc, int accumulate, const_layout weights, layout *a_out,
                              layout *c_out) {
    layout a = NULL, any = NULL, c = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t operations = NULL;
    const dnnl_dims_t dims = {(dnnl_dim_t)k, (dnnl_dim_t)n};
    dnnl_status_t status = row_major(&a, m, k, lda, onednn_types[type].a);
    if (status == dnnl_success) status = row_major(&c, m, n, ldc, onednn_types[type].c);
    if (status == dnnl_success && weights == NULL) status = layout_tagged(&any, dims, onednn_types[type].weights, dnnl_format_tag_any);
    if (status == dnnl_success) status = onednn.primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = onednn.primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && accumulate) {
        status = onednn.post_ops_create(&operations);
        if (status == dnnl_success) status = append_sum(operations);
        if (status == dnnl_success) status = onednn.primitive_attr_set_post_ops(attributes, operations);
    }
    if (status == dnnl_success) status = describe_matmul(out, a, weights != NULL ? weights : any, c, attributes);
    if (operations != NULL) onednn.post_ops_destroy(operations);
    if (attributes != NULL) onednn.primitive_attr_destroy(attributes);
    onednn_layout_free(any);
    if (status == dnnl_success && a_out != NULL) {
        *a_out = a;
        *c_out = c;
    } else {
        onednn_layout_free(a);
        onednn_layout_free(c);
    }
    return status;
}

void onednn_kernel_name(const_dnnl_primitive_desc_t description, char *text, size_t size) {
    const char *name = NULL;
    if (onednn.primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success) name = NULL;
    snprintf(text, size, "%s", name != NULL ? name : "unknown");
}

// --- Each thread's own

static void thread_end(void *pointer) {
    thread_state *state = pointer;
    if (state->stream != NULL) onednn.stream_destroy(state->stream);
    free(state->scratch);
    free(state->a);
    free(state->c);
    free(state->gated);
    free(state);
}

// OpenMP counts threads per calling thread, so each is set to one when it first comes.
thread_state *onednn_enter(void) {
    thread_state *state = pthread_getspecific(thread_key);
    if (state != NULL) return state;
    state = calloc(1, sizeof *state);
    if (state == NULL) return NULL;
    if (onednn.omp_set_num_threads != NULL) onednn.omp_set_num_threads(1);
    if (onednn.stream_create(&state->stream, onednn_engine, dnnl_stream_default_flags) != dnnl_success ||
        pthread_setspecific(thread_key, state) != 0) {
        thread_end(state);
        return NULL;
    }
    return state;
}

void *onednn_aligned(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }

void *onednn_grown(void **memory, size_t *size, size_t needed) {
    if (*size < needed) {
        free(*memory);
        *memory = onednn_aligned(needed);
        *size = *memory != NULL ? needed : 0;
    }
    return *memory;
}

// --- Loading

static void fail(const char *what, const char *detail) {
    snprintf(problem, sizeof problem, "%s%s%s", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

// Holds the library to the instructions of the level in use, which must happen before it has looked at the CPU.
static dnnl_status_t hold_to_level(void) {
#if defined(__x86_64__)
    static const dnnl_cpu_isa_t sets[winnow_levels] = {
        [winnow_level_reference] = dnnl_cpu_isa_sse41,
        [winnow_level_avx2] = dnnl_cpu_isa_avx2,
        [winnow_level_avx512] = dnnl_cpu_isa_avx512_core,
        [winnow_level_avx512_vnni] = dnnl_cpu_isa_avx512_core_vnni,
        [winnow_level_avx512_bf16] = dnnl_cpu_isa_avx512_core_bf16,
    };
    return onednn.set_max_cpu_isa(sets[winnow_level_in_use()]);
#else
    return dnnl_success;
#endif
}

static void load(void) {
    // OpenMP reads the variable while it is being loaded. It does not stay behind for child processes.
    int ask_threads = getenv("OMP_NUM_THREADS") == NULL;
    if (ask_threads) setenv("OMP_NUM_THREADS", "1", 0);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (ask_threads) unsetenv("OMP_NUM_THREADS");
    if (library == NULL) return fail(LIBRARY " cannot be loaded (Debian: libdnnl2 or libdnnl3)", dlerror());

#define FIND(name)                                                    \
    onednn.name = (__typeof__(onednn.name))dlsym(library, "dnnl_" #name); \
    if (onednn.name == NULL) return fail(LIBRARY " lacks dnnl_" #name, NULL);
    FUNCTIONS(FIND)
    FUNCTIONS_OF_VERSION(FIND)
#undef FIND

    const dnnl_version_t *found = onednn.version();
    if (found->major != DNNL_VERSION_MAJOR) return fail(LIBRARY " is of another version than the headers", NULL);
    if (found->cpu_runtime == DNNL_RUNTIME_OMP) {
        onednn.omp_set_num_threads = (void (*)(int))dlsym(library, "omp_set_num_threads");
        if (onednn.omp_set_num_threads == NULL)
            return fail(LIBRARY " uses OpenMP, but omp_set_num_threads is missing", NULL);
    } else if (found->cpu_runtime != DNNL_RUNTIME_SEQ) {
        return fail(LIBRARY " was built for a thread pool other than OpenMP", NULL);
    }

    if (winnow_level_is_capped() && hold_to_level() != dnnl_success)
        return fail(LIBRARY " cannot be held to the instruction set asked for", NULL);
    if (onednn.engine_create(&onednn_engine, dnnl_cpu, 0) != dnnl_success) return fail(LIBRARY " offers no CPU onednn_engine", NULL);
    if (pthread_key_create(&thread_key, thread_end) != 0 || onednn_enter() == NULL)
        return fail(LIBRARY ": no memory for a thread's state", NULL);

    unsigned isa = (unsigned)onednn.get_effective_cpu_isa();
    for (int type = winnow_onednn_f32; type <= winnow_onednn_int8; type++) {
        dnnl_primitive_desc_t description = NULL;
        char name[64];
        if (onednn_describe(&description, (winnow_onednn_type)type, 256, 256, 256, 256, 256, 0, NULL, NULL, NULL) !=
            dnnl_success)
            continue;
        onednn_kernel_name(description, name, sizeof name);
        onednn.primitive_desc_destroy(description);
        supported[type] = !onednn_is_reference(name);
    }
#if defined(__x86_64__)
    int vnni = (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni;
    int bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
    if (!vnni) onednn_largest_step = 63;
#else
    int vnni = 0, bf16 = 0;
    (void)isa;
#endif
    supported[winnow_onednn_int8] &= vnni;
    supported[winnow_onednn_bf16] &= bf16;
    snprintf(version, sizeof version, "oneDNN %d.%d.%d", found->major, found->minor, found->patch);
}

int onednn_usable(void) {
    pthread_once(&once, load);
    return problem[0] == '\0';
}

const char *winnow_onednn_problem(void) { return onednn_usable() ? NULL : problem; }
const char *winnow_onednn_version(void) { return onednn_usable() ? version : ""; }
int winnow_onednn_supports(winnow_onednn_type type) {
    return onednn_usable() && type >= winnow_onednn_f32 && type <= winnow_onednn_int8 && supported[type];
}
int winnow_onednn_largest_step(void) {
    onednn_usable();
    return onednn_largest_step;
}

#endif
