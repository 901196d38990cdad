/* A stand-in for libdaguerre with the whole ABI and arithmetic a test can predict. What it does
 * depends on macros (FAKE_*) at compile time and on magic values at run time, written at each place. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daguerre.h"

#ifndef FAKE_ABI
#define FAKE_ABI DG_ABI_VERSION
#endif
#ifndef FAKE_CPU_SUPPORTED
#define FAKE_CPU_SUPPORTED 1
#endif
#ifndef FAKE_VARIANT
#define FAKE_VARIANT "cpu"
#endif
#ifndef FAKE_DEVICES
#define FAKE_DEVICES 1
#endif

enum { TEXT_WIDTH = 3, TEXT2_WIDTH = 5, VOCAB = 20, TOKENS = 77, CONTEXT = 8, POOLED = 5, SIZE_IDS = 6 };

struct dg_model {
    atomic_int cancel;
    atomic_int busy;
    int vae_only;
    int32_t network; /* DG_KIND_* of a network beside SDXL's own, or 0 */
    int profiled;
    size_t held;
    atomic_int loaded;
    atomic_llong peak;
};

static atomic_llong live, allocations, fails_after = -1;
static dg_log_callback log_callback;
static int64_t log_user;
static int32_t log_min;

static dg_status fail(dg_status code, const char* text, char* msg, size_t cap) {
    if (msg != NULL && cap > 0) snprintf(msg, cap, "%s", text);
    return code;
}

static void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

struct line { int32_t level; const char* text; };

static void* emit(void* arg) {
    const struct line* l = arg;
    log_callback(l->level, l->text, log_user);
    return NULL;
}

/* Log lines are sent from a thread that is not Go's. */
static void log_line(int32_t level, const char* text) {
    if (log_callback == NULL || level < log_min) return;
    struct line l = {level, text};
    pthread_t thread;
    if (pthread_create(&thread, NULL, emit, &l) == 0) pthread_join(thread, NULL);
}

DG_API int32_t dg_abi_version(void) { return FAKE_ABI; }

DG_API dg_status dg_get_build_info(dg_build_info* out, char* msg, size_t msg_cap) {
    if (out->struct_size != sizeof *out) return fail(DG_ERR_ARGUMENT, "dg_build_info.struct_size", msg, msg_cap);
    snprintf(out->variant, sizeof out->variant, "%s", FAKE_VARIANT);
    snprintf(out->version, sizeof out->version, "0.0.1");
    snprintf(out->engine, sizeof out->engine, "fake");
    snprintf(out->compiler, sizeof out->compiler, "cc");
    snprintf(out->features, sizeof out->features, "avx2 avx512_bf16 llamafile");
    snprintf(out->cpu_features, sizeof out->cpu_features, FAKE_CPU_SUPPORTED ? "avx2 avx512_bf16" : "avx2");
    out->cpu_supported = FAKE_CPU_SUPPORTED;
    return DG_OK;
}

DG_API dg_status dg_set_log(dg_log_callback callback, int64_t user, int32_t min_level, char* msg, size_t msg_cap) {
    if (min_level < DG_LOG_DEBUG || min_level > DG_LOG_ERROR)
        return fail(DG_ERR_ARGUMENT, "min_level", msg, msg_cap);
    log_callback = callback;
    log_user = user;
    log_min = min_level;
    return DG_OK;
}

DG_API int64_t dg_live_handles(void) { return atomic_load(&live); }

DG_API dg_status dg_device_count(int32_t* count, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    *count = FAKE_DEVICES;
    return DG_OK;
}

DG_API dg_status dg_get_device(int32_t index, dg_device_info* out, char* msg, size_t msg_cap) {
    if (index < 0 || index >= FAKE_DEVICES) return fail(DG_ERR_DEVICE, "no such device", msg, msg_cap);
    if (out->struct_size != sizeof *out) return fail(DG_ERR_ARGUMENT, "dg_device_info.struct_size", msg, msg_cap);
    snprintf(out->id, sizeof out->id, index == 0 ? "cpu" : FAKE_VARIANT ":%d", index - 1);
    snprintf(out->description, sizeof out->description, "fake device %d", index);
    out->kind = index == 0 ? DG_DEVICE_CPU : DG_DEVICE_GPU;
    out->is_software = index == 2;
    out->total_bytes = 1000 * (int64_t)(index + 1);
    out->free_bytes = 400 * (int64_t)(index + 1);
    if (index > 0) {
        snprintf(out->driver, sizeof out->driver, "fake driver %d", index);
        out->max_tensor_bytes = 500;
        out->max_buffer_bytes = 600;
    }
    return DG_OK;
}

/* Directly computed convolutions take half the time; "cuda:1" has none. */
DG_API dg_status dg_run_trial(const dg_trial* t, double* seconds, float* values, size_t count, char* msg,
                              size_t msg_cap) {
    if (t->struct_size != sizeof *t) return fail(DG_ERR_ARGUMENT, "dg_trial.struct_size", msg, msg_cap);
    if (t->device == NULL) return fail(DG_ERR_ARGUMENT, "device", msg, msg_cap);
    if (t->convolution == DG_CONV_DIRECT && strcmp(t->device, "cuda:1") == 0)
        return fail(DG_ERR_UNSUPPORTED, "no kernel", msg, msg_cap);
    for (size_t i = 0; values != NULL && i < count; i++) values[i] = (float)(t->kind * 100 + t->batch);
    *seconds = (t->convolution == DG_CONV_DIRECT ? 0.5 : 1.0) * t->repeats;
    return DG_OK;
}

static dg_status load_until_cancelled(const volatile int32_t* cancel, char* msg, size_t msg_cap) {
    for (int i = 0; i < 20000; i++) {
        if (cancel != NULL && *cancel != 0) return fail(DG_ERR_CANCELLED, "cancelled while loading", msg, msg_cap);
        sleep_ms(1);
    }
    return fail(DG_ERR_ENGINE, "nobody cancelled", msg, msg_cap);
}

/* Magic paths: "*no-such-file*", "*oom*", "*endless*" (until cancelled), "*vae*" (only a VAE). The parameters are
 * echoed as a log line at level info, so that a test can see what arrived. */
/* A network is a component of its own, behind those of a checkpoint. */
static int components_of(const dg_model* m) {
    return m->network ? DG_COMPONENT_COUNT : 5;
}

static const char* const network_prefixes[4] = {"controlnet.", "taesd.", "upscaler.", "detector."};
static const int32_t network_kinds[4] = {DG_KIND_CONTROLNET, DG_KIND_TAESD, DG_KIND_UPSCALER, DG_KIND_DETECTOR};

DG_API dg_status dg_model_open(const dg_model_params* p, dg_model** out, char* msg, size_t msg_cap) {
    *out = NULL;
    if (p->struct_size != sizeof *p) return fail(DG_ERR_ARGUMENT, "dg_model_params.struct_size", msg, msg_cap);
    if (p->config != NULL && p->config->struct_size != sizeof *p->config)
        return fail(DG_ERR_ARGUMENT, "dg_model_config.struct_size", msg, msg_cap);
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text,
        "device=%s text=%s vae=%s components=%d types=%d,%d,%d precision=%d threads=%d flash=%d",
        p->device ? p->device : "NULL", p->device_text ? p->device_text : "NULL",
        p->device_vae ? p->device_vae : "NULL", p->components, p->type_unet, p->type_text, p->type_vae,
        p->precision, p->threads, p->flash_attention);
    if (p->config != NULL)
        n += (size_t)snprintf(text + n, sizeof text - n, " config=%d,%d,%d,%d,%d,%d", p->config->unet_norm_num_groups,
            p->config->vae_norm_num_groups, p->config->unet_attention_head_dim, p->config->text_head_dim,
            p->config->text_encoder_quick_gelu, p->config->text_encoder_2_quick_gelu);
    dg_model* m = calloc(1, sizeof *m);
    if (m == NULL) return fail(DG_ERR_OUT_OF_MEMORY, "calloc", msg, msg_cap);
    dg_status status = DG_OK;
    for (int64_t i = 0; i < p->file_count && status == DG_OK; i++) {
        const dg_model_file* f = &p->files[i];
        if (f->struct_size != sizeof *f)
            status = fail(DG_ERR_ARGUMENT, "dg_model_file.struct_size", msg, msg_cap);
        else if (strstr(f->path, "no-such-file"))
            status = fail(DG_ERR_FILE, "cannot open no-such-file", msg, msg_cap);
        else if (strstr(f->path, "oom"))
            status = fail(DG_ERR_OUT_OF_MEMORY, "1.0 GiB for the UNet on cpu", msg, msg_cap);
        else if (strstr(f->path, "endless"))
            status = load_until_cancelled(p->cancel, msg, msg_cap);
        else if (strstr(f->path, "vae"))
            m->vae_only = 1;
        if (n < sizeof text) n += (size_t)snprintf(text + n, sizeof text - n, " %s", f->path);
    }
    for (int64_t i = 0; i < p->weight_count && status == DG_OK; i++) {
        const dg_weight* w = &p->weights[i];
        if (w->struct_size != sizeof *w) status = fail(DG_ERR_ARGUMENT, "dg_weight.struct_size", msg, msg_cap);
        for (int k = 0; k < 4; k++)
            if (strncmp(w->name, network_prefixes[k], strlen(network_prefixes[k])) == 0) m->network = network_kinds[k];
        if (n < sizeof text)
            n += (size_t)snprintf(text + n, sizeof text - n, " %s=%s:%d:%d:%lld+%lld:%d[%lld,%lld]%d[%lld,%lld]", w->name,
                w->stored ? w->stored : "(null)", w->file, w->type, (long long)w->offset, (long long)w->bytes, w->dims,
                (long long)w->shape[0], (long long)w->shape[1], w->strided, (long long)w->strides[0], (long long)w->strides[1]);
    }
    log_line(DG_LOG_INFO, text);
    if (status != DG_OK) {
        free(m);
        return status;
    }
    atomic_fetch_add(&live, 1);
    for (int i = 0; i < components_of(m); i++) {
        const int32_t residency = i < 2 ? p->residency_text : i == 2 ? p->residency_unet : i < 5 ? p->residency_vae : DG_RESIDENT_ALWAYS;
        if (residency == DG_RESIDENT_ALWAYS) atomic_fetch_or(&m->loaded, 1 << i);
    }
    snprintf(text, sizeof text, "residency=%d,%d,%d stream=%lld attention=%lld convolution=%d", p->residency_text,
        p->residency_unet, p->residency_vae, (long long)p->stream_bytes, (long long)p->attention_bytes, p->convolution);
    if (p->residency_text || p->residency_unet || p->residency_vae || p->stream_bytes || p->attention_bytes || p->convolution)
        log_line(DG_LOG_INFO, text); /* where something is not the default */
    *out = m;
    return DG_OK;
}

DG_API dg_status dg_model_close(dg_model** model, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    if (*model != NULL) {
        if (atomic_load(&(*model)->busy)) {
            fprintf(stderr, "fake: closed while in use\n");
            abort();
        }
        free(*model);
        *model = NULL;
        atomic_fetch_sub(&live, 1);
    }
    return DG_OK;
}

static void component(dg_component_info* c, int present, int index) {
    c->present = present;
    c->loaded = present;
    c->file_type = DG_TYPE_F16;
    c->type = DG_TYPE_BF16;
    c->tensor_count = 10 + index;
    c->parameter_count = 100 + index;
    c->parameter_bytes = 200 + 2 * index;
    snprintf(c->device, sizeof c->device, "cpu");
}

/* A ControlNet with one level of one resnet: residuals of 2, 2 and 2 channels. An upscaler of scale 2. A TAESD. */
static dg_status network_info(const dg_model* model, dg_model_info* out) {
    out->precision = DG_PRECISION_F32;
    if (model->network == DG_KIND_CONTROLNET) {
        dg_unet_info u = {sizeof u, 4, 0, 2, CONTEXT, POOLED + 256 * SIZE_IDS, POOLED, SIZE_IDS, 1, {2}, {1}, {0}, 0, 64, 4};
        dg_control_info c = {sizeof c, 3, 8, 0, 0, {0}, {0}, 0};
        out->kind = DG_KIND_CONTROLNET;
        out->unet = u;
        out->control = c;
        component(&out->components[5], 1, 5);
    } else if (model->network == DG_KIND_UPSCALER) {
        dg_upscaler_info u = {sizeof u, 2, 64, 23, 1};
        out->kind = DG_KIND_UPSCALER;
        out->upscaler = u;
        component(&out->components[6], 1, 6);
    } else if (model->network == DG_KIND_DETECTOR) {
        dg_detector_info d = {sizeof d, 2, 4, 32};
        out->kind = DG_KIND_DETECTOR;
        out->detector = d;
        component(&out->components[9], 1, 9);
    } else {
        dg_vae_info v = {sizeof v, 4, 4, {64, 64, 64, 64}, {64, 64, 64, 64}, 0, 0, 8, 0};
        out->kind = DG_KIND_TAESD;
        out->vae = v;
        component(&out->components[3], 1, 3);
        component(&out->components[4], 1, 4);
    }
    return DG_OK;
}

DG_API dg_status dg_get_model_info(const dg_model* model, dg_model_info* out, char* msg, size_t msg_cap) {
    if (out->struct_size != sizeof *out || out->unet.struct_size != sizeof out->unet ||
        out->vae.struct_size != sizeof out->vae || out->text_encoder.struct_size != sizeof out->text_encoder ||
        out->text_encoder_2.struct_size != sizeof out->text_encoder_2 ||
        out->components[DG_COMPONENT_COUNT - 1].struct_size != sizeof out->components[0])
        return fail(DG_ERR_ARGUMENT, "dg_model_info: a struct_size is wrong", msg, msg_cap);
    if (model->network != 0) return network_info(model, out);
    int full = !model->vae_only;
    out->kind = full ? DG_KIND_SDXL_BASE : DG_KIND_VAE;
    out->precision = DG_PRECISION_BF16;
    out->flash_attention = 1;
    out->threads = 2;
    snprintf(out->precision_reason, sizeof out->precision_reason, "because it is a fake");
    for (int i = 0; i < 5; i++) component(&out->components[i], full || i >= 3, i);
    if (full) {
        dg_text_info t = {sizeof t, VOCAB, TEXT_WIDTH, 3, 1, 0, TOKENS};
        dg_text_info t2 = {sizeof t2, VOCAB, TEXT2_WIDTH, 4, 1, POOLED, TOKENS};
        out->text_encoder = t;
        out->text_encoder_2 = t2;
        dg_unet_info u = {sizeof u, 4, 4, 64, CONTEXT, POOLED + 256 * SIZE_IDS, POOLED, SIZE_IDS, 3,
                          {64, 128, 256}, {2, 2, 2}, {0, 2, 10}, 10, 64, 4};
        out->unet = u;
    }
    dg_vae_info v = {sizeof v, 4, 4, {16, 32, 64, 64}, {16, 32, 64, 65}, 2, 3, 8, 2};
    out->vae = v;
    return DG_OK;
}

DG_API dg_status dg_model_set_wrap(dg_model* model, int32_t axes, char* msg, size_t msg_cap) {
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    if (axes < 0 || axes > 3) return fail(DG_ERR_ARGUMENT, "axes", msg, msg_cap);
    return DG_OK;
}

DG_API dg_status dg_model_set_cancel(dg_model* model, int32_t cancelled, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    atomic_store(&model->cancel, cancelled);
    return DG_OK;
}

/* Every call on a model is bracketed by enter and leave: two at once end the process. */
static dg_status enter(dg_model* m, char* msg, size_t msg_cap) {
    if (atomic_exchange(&m->busy, 1)) {
        fprintf(stderr, "fake: two calls at once on one model\n");
        abort();
    }
    if (atomic_load(&m->cancel)) {
        atomic_store(&m->busy, 0);
        return fail(DG_ERR_CANCELLED, "cancelled before the call", msg, msg_cap);
    }
    return DG_OK;
}

static dg_status leave(dg_model* m, dg_status status) {
    atomic_store(&m->busy, 0);
    return status;
}

/* Every load is an allocation, which dg_test_fail_allocations can let fail: always, and from `after` on. A component holds 200
 * bytes, and 2 more for each before it; the peak is 1000 times what dg_model_load loaded. */
DG_API dg_status dg_model_load(dg_model* model, int32_t components, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (components <= 0 || components >= 1 << DG_COMPONENT_COUNT)
        return leave(model, fail(DG_ERR_ARGUMENT, "components", msg, msg_cap));
    const long long after = atomic_load(&fails_after);
    if (atomic_fetch_add(&allocations, 1) >= after && after >= 0)
        return leave(model, fail(DG_ERR_OUT_OF_MEMORY, "0.1 MiB could not be allocated on cpu", msg, msg_cap));
    atomic_fetch_or(&model->loaded, components);
    atomic_fetch_add(&model->peak, 1000);
    return leave(model, DG_OK);
}

DG_API dg_status dg_model_unload(dg_model* model, int32_t components, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    atomic_fetch_and(&model->loaded, ~components);
    return leave(model, DG_OK);
}

/* Neither enters: both are allowed beside another call. */
DG_API dg_status dg_model_memory(const dg_model* model, dg_memory_info* out, char* msg, size_t msg_cap) {
    if (out->struct_size != sizeof *out) return fail(DG_ERR_ARGUMENT, "dg_memory_info.struct_size", msg, msg_cap);
    out->loaded = atomic_load(&model->loaded);
    for (int i = 0; i < components_of(model); i++) {
        if (out->loaded & (1 << i)) out->weights[i] = 200 + 2 * i;
        out->mapped[i] = 7 * i;
        out->weights_peak[i] = 300 + i;
        out->host[i] = 10 + i;
        out->host_peak[i] = 20 + i;
        out->total += out->weights[i] + out->host[i];
    }
    out->compute = (int64_t)model->held;
    out->compute_peak = out->compute + 1;
    out->adapters = 3;
    out->adapters_peak = 4;
    out->total += out->compute + out->adapters;
    out->total_peak = atomic_load(&model->peak);
    return DG_OK;
}

DG_API dg_status dg_model_memory_reset(dg_model* model, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    atomic_store(&model->peak, 0);
    return DG_OK;
}

DG_API dg_status dg_test_fail_allocations(int64_t seed, double probability, int64_t after, int64_t* count, char* msg,
                                          size_t msg_cap) {
    if (seed < 0 || probability < 0 || probability > 1) return fail(DG_ERR_ARGUMENT, "probability", msg, msg_cap);
    const long long past = atomic_exchange(&allocations, 0);
    atomic_store(&fails_after, probability > 0 ? after : -1);
    if (count != NULL) *count = past;
    return DG_OK;
}

/* One token per byte: the byte's value modulo the vocabulary. The byte 0x01 makes five tokens. */
DG_API dg_status dg_tokenize(const char* text, size_t text_len, int32_t* ids, size_t cap, size_t* count, char* msg,
                             size_t msg_cap) {
    if (text_len > 0 && text[0] == '!') return fail(DG_ERR_ARGUMENT, "an exclamation mark", msg, msg_cap);
    size_t n = 0;
    for (size_t i = 0; i < text_len; i++) {
        int repeat = text[i] == 1 ? 5 : 1;
        for (int k = 0; k < repeat; k++, n++)
            if (n < cap && ids != NULL) ids[n] = (unsigned char)text[i] % VOCAB;
    }
    *count = n;
    return DG_OK;
}

/* hidden = id + 1000 * encoder + clip_skip / 10, or the custom row's own values; pooled = sum of a row's ids. */
DG_API dg_status dg_text_encode(dg_model* model, const dg_text_input* in, float* hidden, size_t hidden_count,
                                float* pooled, size_t pooled_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t width = in->encoder == 0 ? TEXT_WIDTH : TEXT2_WIDTH;
    if (in->struct_size != sizeof *in || hidden_count != (size_t)(in->chunks * in->tokens * width) ||
        (pooled != NULL && pooled_count != (size_t)(in->chunks * POOLED)))
        return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t i = 0; i < in->chunks * in->tokens; i++)
        for (int64_t k = 0; k < width; k++)
            hidden[i * width + k] = in->ids[i] >= VOCAB ? in->custom[(in->ids[i] - VOCAB) * width + k]
                : (float)in->ids[i] + 1000.0f * (float)in->encoder + (float)in->clip_skip / 10.0f;
    for (int64_t c = 0; pooled != NULL && c < in->chunks; c++) {
        float sum = 0;
        for (int64_t i = 0; i < in->tokens; i++) sum += (float)in->ids[c * in->tokens + i];
        for (int64_t k = 0; k < POOLED; k++) pooled[c * POOLED + k] = sum;
    }
    return leave(model, DG_OK);
}

/* Three residuals of two channels, of two rows: what the stand-in's ControlNet gives for latents of 1 x 1. */
struct dg_residuals {
    float values[12];
};

DG_API dg_status dg_residuals_new(dg_model* model, int64_t rows, int64_t height, int64_t width, dg_residuals** out, char* msg,
                                  size_t msg_cap) {
    *out = NULL;
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (rows > 2 || height > 2 || width > 2) return leave(model, fail(DG_ERR_OUT_OF_MEMORY, "residuals", msg, msg_cap));
    *out = calloc(1, sizeof(**out));
    atomic_fetch_add(&live, 1);
    return leave(model, DG_OK);
}

DG_API dg_status dg_residuals_clear(dg_residuals* residuals, char* msg, size_t msg_cap) {
    if (residuals == NULL) return fail(DG_ERR_ARGUMENT, "residuals", msg, msg_cap);
    memset(residuals->values, 0, sizeof residuals->values);
    return DG_OK;
}

DG_API dg_status dg_residuals_free(dg_residuals** residuals, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    if (*residuals != NULL) atomic_fetch_sub(&live, 1);
    free(*residuals);
    *residuals = NULL;
    return DG_OK;
}

/* out = sample + timestep + the last value of each row of context, pooled and size_ids. timesteps[0]:
 * -1 runs until cancelled, -2 takes 50 ms and does not look at the flag, -3 is out of memory, -4 an
 * engine failure with a message longer than any buffer. */
DG_API dg_status dg_unet_eval(dg_model* model, const dg_unet_input* in, float* out, size_t out_count, char* msg,
                              size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t cells = 4 * in->height * in->width;
    if (in->struct_size != sizeof *in || out_count != (size_t)(in->batch * cells))
        return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    if (in->timesteps[0] == -1.0f) {
        for (int i = 0; i < 20000; i++) {
            if (atomic_load(&model->cancel))
                return leave(model, fail(DG_ERR_CANCELLED, "cancelled inside", msg, msg_cap));
            sleep_ms(1);
        }
        return leave(model, fail(DG_ERR_ENGINE, "nobody cancelled", msg, msg_cap));
    }
    if (in->timesteps[0] == -2.0f) sleep_ms(50);
    if (in->timesteps[0] == -3.0f)
        return leave(model, fail(DG_ERR_OUT_OF_MEMORY, "2.0 GiB compute buffer on cpu", msg, msg_cap));
    if (in->timesteps[0] == -4.0f) {
        char text[8192];
        for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xC3\xA9", 3); /* e acute */
        return leave(model, fail(DG_ERR_ENGINE, text, msg, msg_cap));
    }
    for (int64_t n = 0; n < in->batch; n++) {
        float add = in->timesteps[n] + in->context[(n + 1) * in->context_tokens * CONTEXT - 1] +
                    in->pooled[(n + 1) * POOLED - 1] + in->size_ids[(n + 1) * SIZE_IDS - 1];
        if (in->block_features != NULL) add += in->block_features[in->block_count - 1];
        if (in->residuals != NULL) add += in->residuals[in->residual_count - 1];
        if (in->xs != NULL) add += (float)in->xs_scale * in->xs_hint[0];
        if (in->on_device != NULL) add += in->on_device->values[5];
        for (int64_t i = 0; i < cells; i++) out[n * cells + i] = in->sample[n * cells + i] + add;
    }
    model->held = (size_t)(in->batch * cells) * sizeof(float);
    return leave(model, DG_OK);
}

/* embedding: the pixel at each block's corner, in both channels. */
DG_API dg_status dg_control_hint(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                                 float* embedding, size_t embedding_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t h = height / 8, w = width / 8;
    if (embedding_count != (size_t)(batch * 2 * h * w)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t n = 0; n < batch; n++)
        for (int64_t i = 0; i < 2 * h * w; i++)
            embedding[n * 2 * h * w + i] = pixels[(n * 3 * height + 8 * (i / w % h)) * width + 8 * (i % w)];
    return leave(model, DG_OK);
}

/* Every value of residual k of the rows written grows by scales[k] * (the row's timestep + its first hint value). */
DG_API dg_status dg_control_eval(dg_model* model, const dg_control_input* in, float* residuals, size_t residual_count,
                                 char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t each = 2 * in->height * in->width;
    if (in->on_device != NULL) { /* as below, for 1 x 1 cells */
        if (residual_count != 0 || each != 2) return leave(model, fail(DG_ERR_ARGUMENT, "on_device", msg, msg_cap));
        residuals      = in->on_device->values;
        residual_count = (size_t)(3 * in->residual_rows * each);
    }
    if (in->struct_size != sizeof *in || in->scale_count != 3 || residual_count != (size_t)(3 * in->residual_rows * each) ||
        in->first_row + in->batch > in->residual_rows)
        return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t k = 0; k < 3; k++)
        for (int64_t n = 0; n < in->batch; n++)
            for (int64_t i = 0; i < each; i++)
                residuals[(k * in->residual_rows + in->first_row + n) * each + i] +=
                    in->scales[k] * (in->timesteps[n] + in->hint[in->hint_batch == 1 ? 0 : n * each]);
    return leave(model, DG_OK);
}

DG_API dg_status dg_image_encode(dg_model* model, int64_t batch, const float* pixels, float* embeds,
                                 size_t embeds_count, float* hidden, size_t hidden_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    for (size_t i = 0; i < embeds_count; i++) {
        embeds[i] = pixels[0] + (float)(batch * (int64_t)i);
    }
    for (size_t i = 0; i < hidden_count; i++) {
        hidden[i] = pixels[0] - (float)(batch * (int64_t)i);
    }
    return leave(model, DG_OK);
}

DG_API dg_status dg_ip_adapter_run(dg_model* model, const dg_ip_adapter_input* in, float* values, size_t values_count,
                                   char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    for (size_t i = 0; i < values_count; i++) {
        values[i] = in->embeds[0] + (float)(in->batch * in->pictures * in->tokens) + (float)in->shortcut;
    }
    return leave(model, DG_OK);
}

DG_API dg_status dg_upscale(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
                            size_t out_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (out_count != (size_t)(batch * 12 * height * width)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t n = 0; n < batch * 3; n++)
        for (int64_t i = 0; i < 4 * height * width; i++)
            out[n * 4 * height * width + i] = pixels[(n * height + i / (2 * width) / 2) * width + i % (2 * width) / 2];
    return leave(model, DG_OK);
}

/* The first pixel in every place. */
DG_API dg_status dg_detect(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
                           size_t out_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    const int64_t rows = 4 * 4 + 2, anchors = height * width / 64 + height * width / 256 + height * width / 1024;
    if (out_count != (size_t)(batch * rows * anchors)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t n = 0; n < batch; n++)
        for (int64_t i = 0; i < rows * anchors; i++) out[n * rows * anchors + i] = pixels[n * 3 * height * width];
    return leave(model, DG_OK);
}

/* moments: the mean channels are the pixel at each block's corner, the others their number. */
DG_API dg_status dg_vae_encode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                               float* moments, size_t moments_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t h = height / 8, w = width / 8;
    if (moments_count != (size_t)(batch * 8 * h * w)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < 8; c++)
            for (int64_t y = 0; y < h; y++)
                for (int64_t x = 0; x < w; x++)
                    moments[((n * 8 + c) * h + y) * w + x] =
                        c < 3 ? pixels[((n * 3 + c) * height + 8 * y) * width + 8 * x] : (float)c;
    return leave(model, DG_OK);
}

DG_API dg_status dg_vae_decode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* latents,
                               float* pixels, size_t pixels_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    int64_t h = 8 * height, w = 8 * width;
    if (pixels_count != (size_t)(batch * 3 * h * w)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t y = 0; y < h; y++)
                for (int64_t x = 0; x < w; x++)
                    pixels[((n * 3 + c) * h + y) * w + x] = latents[((n * 4 + c) * height + y / 8) * width + x / 8];
    return leave(model, DG_OK);
}

/* The parts have 2 features and 3 norms of 2 groups. Each output is the first input value of its block plus the channel's number; a norm's
 * mean is what was given (or 0) plus the core's left edge, its variance the core's area. */
DG_API dg_status dg_vae_part_get_info(dg_model* model, int32_t stage, dg_vae_part_info* out, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (out->struct_size != sizeof *out) return leave(model, fail(DG_ERR_ARGUMENT, "dg_vae_part_info", msg, msg_cap));
    const int64_t ins[4] = {4, 2, 3, 2}, outs[4] = {2, 3, 2, 8};
    if (stage < DG_STAGE_VAE_DECODE_MIDDLE || stage > DG_STAGE_VAE_ENCODE_MIDDLE)
        return leave(model, fail(DG_ERR_ARGUMENT, "stage", msg, msg_cap));
    out->in_channels  = ins[stage - DG_STAGE_VAE_DECODE_MIDDLE];
    out->out_channels = outs[stage - DG_STAGE_VAE_DECODE_MIDDLE];
    out->norms        = stage == DG_STAGE_VAE_DECODE_LEVELS || stage == DG_STAGE_VAE_ENCODE_LEVELS ? 3 : 0;
    out->groups       = 2;
    return leave(model, DG_OK);
}

DG_API dg_status dg_vae_run_part(dg_model* model, const dg_vae_part* in, float* output, size_t output_count,
                                 float* measured, size_t measured_count, char* msg, size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (in->struct_size != sizeof *in) return leave(model, fail(DG_ERR_ARGUMENT, "dg_vae_part", msg, msg_cap));
    const int64_t channels[4] = {2, 3, 2, 8};
    int64_t up = in->stage == DG_STAGE_VAE_DECODE_LEVELS ? 8 : 1, down = in->stage == DG_STAGE_VAE_ENCODE_LEVELS ? 8 : 1;
    int64_t h = in->height * up / down, w = in->width * up / down;
    int64_t c = channels[in->stage - DG_STAGE_VAE_DECODE_MIDDLE];
    if (output_count != (size_t)(c * h * w)) return leave(model, fail(DG_ERR_ARGUMENT, "sizes", msg, msg_cap));
    for (int64_t i = 0; i < c * h * w; i++)
        output[i] = in->input[(i / w % h) * down / up * in->width + i % w * down / up] + (float)(i / (h * w));
    for (size_t i = 0; i < measured_count; i += 2) {
        measured[i]     = (in->statistics == NULL ? 0 : in->statistics[i]) + (float)in->core_left;
        measured[i + 1] = (float)(in->core_height * in->core_width);
    }
    return leave(model, DG_OK);
}

DG_API dg_status dg_compute_size(dg_model* model, const dg_compute_query* q, size_t* bytes, char* msg,
                                 size_t msg_cap) {
    dg_status status = enter(model, msg, msg_cap);
    if (status != DG_OK) return status;
    if (q->struct_size != sizeof *q) return leave(model, fail(DG_ERR_ARGUMENT, "dg_compute_query", msg, msg_cap));
    *bytes = (size_t)(q->stage * 1000000 + q->batch * 10000 + q->height * 100 + q->width + q->context_tokens);
    return leave(model, DG_OK);
}

DG_API dg_status dg_compute_lanes(dg_model* model, const dg_compute_query* q, int32_t* lanes, char* msg,
                                  size_t msg_cap) {
    enter(model, msg, msg_cap);
    *lanes = q->stage == DG_STAGE_VAE_DECODE && q->batch > 1 ? 2 : 1;
    return leave(model, DG_OK);
}

DG_API dg_status dg_compute_nodes(dg_model* model, const dg_compute_query* q, dg_node_info* nodes, size_t cap,
                                  size_t* count, char* msg, size_t msg_cap) {
    enter(model, msg, msg_cap);
    *count = 2;
    for (size_t i = 0; nodes != NULL && i < 2 && i < cap; i++) {
        snprintf(nodes[i].op, sizeof nodes[i].op, i == 0 ? "MUL_MAT" : "CONV_2D");
        snprintf(nodes[i].operands, sizeof nodes[i].operands, "f16 f32 -> f32");
        snprintf(nodes[i].example, sizeof nodes[i].example, "stage %d", q->stage);
        nodes[i].supported = i == 0;
        nodes[i].count = q->batch;
        nodes[i].largest_bytes = 1000;
    }
    return leave(model, DG_OK);
}

DG_API dg_status dg_model_transfers(const dg_model* model, dg_transfer_info* out, char* msg, size_t msg_cap) {
    (void)model;
    (void)msg;
    (void)msg_cap;
    out->runs = 1;
    out->uploads = 2;
    out->upload_bytes = 3;
    out->downloads = 4;
    out->download_bytes = 5;
    out->pinned_bytes = 6;
    return DG_OK;
}

DG_API dg_status dg_compute_held(const dg_model* model, size_t* bytes, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    *bytes = model->held;
    return DG_OK;
}

#ifndef FAKE_INCOMPLETE
DG_API dg_status dg_compute_release(dg_model* model, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    model->held = 0;
    return DG_OK;
}
#endif

/* A "type" of one byte an element: the type's number added to the value. */
DG_API dg_status dg_row_bytes(int32_t type, int64_t columns, size_t* bytes, char* msg, size_t msg_cap) {
    if (type <= DG_TYPE_AUTO || type >= DG_TYPE_COUNT) return fail(DG_ERR_ARGUMENT, "type", msg, msg_cap);
    *bytes = (size_t)columns;
    return DG_OK;
}

DG_API dg_status dg_quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out,
                             size_t out_bytes, char* msg, size_t msg_cap) {
    if (out_bytes != (size_t)(rows * columns)) return fail(DG_ERR_ARGUMENT, "out_bytes", msg, msg_cap);
    for (int64_t i = 0; i < rows * columns; i++) out[i] = (uint8_t)(values[i] + (float)type);
    return DG_OK;
}

DG_API dg_status dg_dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns,
                               float* values, char* msg, size_t msg_cap) {
    if (data_bytes != (size_t)(rows * columns)) return fail(DG_ERR_ARGUMENT, "data_bytes", msg, msg_cap);
    for (int64_t i = 0; i < rows * columns; i++) values[i] = (float)data[i] - (float)type;
    return DG_OK;
}

DG_API dg_status dg_model_set_profile(dg_model* model, int32_t enabled, char* msg, size_t msg_cap) {
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    model->profiled = enabled;
    return DG_OK;
}

/* Three entries while profiling is on. */
DG_API dg_status dg_model_get_profile(const dg_model* model, dg_profile_entry* entries, size_t cap, size_t* count,
                                      char* msg, size_t msg_cap) {
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    *count = model->profiled ? 3 : 0;
    for (size_t i = 0; entries != NULL && i < cap && i < *count; i++) {
        if (entries[i].struct_size != sizeof(entries[i])) return fail(DG_ERR_ARGUMENT, "struct_size", msg, msg_cap);
        snprintf(entries[i].stage, sizeof(entries[i].stage), "unet");
        snprintf(entries[i].op, sizeof(entries[i].op), "OP%zu", i);
        snprintf(entries[i].module, sizeof(entries[i].module), "mid_block");
        entries[i].calls      = (int64_t)i + 1;
        entries[i].seconds    = 0.5;
        entries[i].operations = 1e9;
    }
    return DG_OK;
}

/* Two modules. */
DG_API dg_status dg_model_get_modules(const dg_model* model, dg_module_info* modules, size_t cap, size_t* count,
                                      char* msg, size_t msg_cap) {
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    *count = 2;
    for (size_t i = 0; modules != NULL && i < cap && i < *count; i++) {
        if (modules[i].struct_size != sizeof(modules[i])) return fail(DG_ERR_ARGUMENT, "struct_size", msg, msg_cap);
        snprintf(modules[i].name, sizeof(modules[i].name), "unet.m%zu", i);
        modules[i].kind   = DG_MODULE_LINEAR;
        modules[i].type   = DG_TYPE_F32;
        modules[i].in     = 2;
        modules[i].out    = 3;
        modules[i].kernel = 0;
    }
    return DG_OK;
}

struct dg_lora {
    int64_t bytes;
};

/* Its bytes are those of all tensors. */
DG_API dg_status dg_lora_load(dg_model* model, const dg_lora_target* targets, int64_t count, dg_lora** out, char* msg,
                              size_t msg_cap) {
    *out = NULL;
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (strncmp(targets[i].module, "unet.m", 6) != 0) return fail(DG_ERR_MODEL, targets[i].module, msg, msg_cap);
        const dg_lora_tensor* tensors[] = {&targets[i].a, &targets[i].b, &targets[i].magnitude};
        for (int k = 0; k < 3; k++) {
            int64_t n = tensors[k]->type == DG_TYPE_F32 ? 4 : 2;
            for (int32_t d = 0; d < tensors[k]->dims; d++) n *= tensors[k]->shape[d];
            bytes += tensors[k]->data != NULL ? n : 0;
        }
    }
    *out          = calloc(1, sizeof(**out));
    (*out)->bytes = bytes;
    atomic_fetch_add(&live, 1);
    return DG_OK;
}

DG_API dg_status dg_lora_bytes(const dg_lora* lora, int64_t* bytes, char* msg, size_t msg_cap) {
    if (lora == NULL) return fail(DG_ERR_ARGUMENT, "lora", msg, msg_cap);
    *bytes = lora->bytes;
    return DG_OK;
}

DG_API dg_status dg_lora_free(dg_lora** lora, char* msg, size_t msg_cap) {
    (void)msg;
    (void)msg_cap;
    if (*lora != NULL) atomic_fetch_sub(&live, 1);
    free(*lora);
    *lora = NULL;
    return DG_OK;
}

/* Adds weight x scale to everything. */
DG_API dg_status dg_lora_merge(const dg_lora_target* target, double weight, float* w, int32_t dims,
                               const int64_t* shape, char* msg, size_t msg_cap) {
    if (dims < 1) return fail(DG_ERR_ARGUMENT, "shape", msg, msg_cap);
    int64_t n = 1;
    for (int32_t i = 0; i < dims; i++) n *= shape[i];
    for (int64_t i = 0; i < n; i++) w[i] += (float)(weight * target->scale);
    return DG_OK;
}

DG_API dg_status dg_features_new(dg_model* model, dg_features** out, char* msg, size_t msg_cap) {
    (void)model;
    *out = NULL;
    return fail(DG_ERR_UNSUPPORTED, "the fake keeps no features", msg, msg_cap);
}

DG_API dg_status dg_features_free(dg_features** features, char* msg, size_t msg_cap) {
    (void)features, (void)msg, (void)msg_cap;
    return DG_OK;
}

DG_API dg_status dg_model_builds(const dg_model* model, int64_t* graphs, int64_t* stacks, char* msg, size_t msg_cap) {
    if (model == NULL) return fail(DG_ERR_ARGUMENT, "model", msg, msg_cap);
    *graphs = 3;
    *stacks = 2;
    return DG_OK;
}
