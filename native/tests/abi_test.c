/* The rules at the top of daguerre.h, checked as a C11 program sees them. No model is needed. */
#include "daguerre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static int checks;

static void check(int ok, int line, const char* what, const char* msg) {
    checks++;
    if (!ok) {
        failures++;
        fprintf(stderr, "%s:%d: %s (message: \"%s\")\n", __FILE__, line, what, msg);
    }
}

#define CHECK(expr) check((expr) ? 1 : 0, __LINE__, #expr, msg)
#define CAP 512

static char msg[CAP];

/* A refusal: the status, and a message that contains what the caller must look at. */
#define REFUSED(call, status, word)         \
    do {                                    \
        memset(msg, 0, sizeof msg);         \
        CHECK((call) == (status));          \
        CHECK(strstr(msg, (word)) != NULL); \
    } while (0)

static void test_version(void) {
    CHECK(dg_abi_version() == DG_ABI_VERSION);
}

static void test_build_info(void) {
    dg_build_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK(dg_get_build_info(&info, msg, CAP) == DG_OK);
    CHECK(msg[0] == '\0');
    CHECK(info.struct_size == sizeof info);
    CHECK(strcmp(info.variant, "cpu") == 0 || strcmp(info.variant, "vulkan") == 0 || strcmp(info.variant, "cuda") == 0);
    CHECK(info.version[0] != '\0' && info.engine[0] != '\0' && info.compiler[0] != '\0');
    CHECK(strstr(info.features, "llamafile") != NULL);
    CHECK(info.cpu_supported == 1);
    REFUSED(dg_get_build_info(NULL, msg, CAP), DG_ERR_ARGUMENT, "NULL");
}

/* A caller compiled with an older, shorter struct: nothing beyond it is written. */
static void test_short_struct(void) {
    union {
        dg_build_info info;
        unsigned char bytes[sizeof(dg_build_info)];
    } u;
    const size_t known = offsetof(dg_build_info, engine);
    memset(&u, 0xa5, sizeof u);
    u.info.struct_size = known;
    CHECK(dg_get_build_info(&u.info, msg, CAP) == DG_OK);
    CHECK(u.info.struct_size == known);
    CHECK(u.info.variant[0] != '\0' && strlen(u.info.version) < DG_NAME_LEN);
    for (size_t i = known; i < sizeof u; i++) {
        if (u.bytes[i] != 0xa5) {
            CHECK(!"a byte beyond struct_size was written");
            break;
        }
    }
    u.info.struct_size = 0;
    REFUSED(dg_get_build_info(&u.info, msg, CAP), DG_ERR_ARGUMENT, "struct_size");
    CHECK(u.info.struct_size == 0);
}

/* A caller compiled with a newer, longer struct: only what this library knows is written. */
static void test_long_struct(void) {
    struct {
        dg_device_info info;
        unsigned char newer[64];
    } s;
    memset(&s, 0xa5, sizeof s);
    s.info.struct_size = sizeof s;
    CHECK(dg_get_device(0, &s.info, msg, CAP) == DG_OK);
    CHECK(s.newer[0] == 0xa5 && s.newer[63] == 0xa5);
}

static void test_messages(void) {
    char small[8];
    memset(small, 'x', sizeof small);
    CHECK(dg_get_build_info(NULL, small, sizeof small) == DG_ERR_ARGUMENT);
    CHECK(memchr(small, '\0', sizeof small) != NULL);
    memset(small, 'x', sizeof small);
    CHECK(dg_get_build_info(NULL, small, 1) == DG_ERR_ARGUMENT);
    CHECK(small[0] == '\0' && small[1] == 'x');
    CHECK(dg_get_build_info(NULL, small, 0) == DG_ERR_ARGUMENT);
    CHECK(small[0] == '\0');
    CHECK(dg_get_build_info(NULL, NULL, 0) == DG_ERR_ARGUMENT);
    CHECK(dg_get_build_info(NULL, NULL, CAP) == DG_ERR_ARGUMENT);
}

static void test_devices(void) {
    int32_t count = -1;
    int cpus      = 0;
    CHECK(dg_device_count(&count, msg, CAP) == DG_OK);
    CHECK(count >= 1);
    for (int32_t i = 0; i < count; i++) {
        dg_device_info info;
        memset(&info, 0, sizeof info);
        info.struct_size = sizeof info;
        CHECK(dg_get_device(i, &info, msg, CAP) == DG_OK);
        CHECK(info.id[0] != '\0' && info.description[0] != '\0');
        CHECK(info.total_bytes > 0 && info.free_bytes >= 0 && info.free_bytes <= info.total_bytes);
        CHECK(info.is_software == 0 || info.is_software == 1);
        if (info.kind == DG_DEVICE_CPU) {
            cpus++;
            CHECK(strcmp(info.id, "cpu") == 0);
        }
    }
    CHECK(cpus == 1);
    dg_device_info info = {.struct_size = sizeof info};
    REFUSED(dg_get_device(-1, &info, msg, CAP), DG_ERR_ARGUMENT, "index");
    REFUSED(dg_get_device(count, &info, msg, CAP), DG_ERR_ARGUMENT, "index");
    REFUSED(dg_get_device(0, NULL, msg, CAP), DG_ERR_ARGUMENT, "NULL");
    REFUSED(dg_device_count(NULL, msg, CAP), DG_ERR_ARGUMENT, "NULL");
}

static void test_tokenize(void) {
    static const char text[]     = "a photo of a cat";
    static const int32_t want[5] = {320, 1125, 539, 320, 2368}; /* openai/clip-vit-large-patch14 */
    int32_t ids[8];
    size_t count = 99;
    memset(ids, 0x7f, sizeof ids);
    CHECK(dg_tokenize(text, strlen(text), ids, 8, &count, msg, CAP) == DG_OK);
    CHECK(count == 5 && memcmp(ids, want, sizeof want) == 0);
    CHECK(ids[5] == 0x7f7f7f7f);

    memset(ids, 0x7f, sizeof ids);
    CHECK(dg_tokenize(text, strlen(text), ids, 2, &count, msg, CAP) == DG_OK);
    CHECK(count == 5 && ids[1] == want[1] && ids[2] == 0x7f7f7f7f);
    CHECK(dg_tokenize(text, strlen(text), NULL, 0, &count, msg, CAP) == DG_OK);
    CHECK(count == 5);
    CHECK(dg_tokenize(text, 1, ids, 8, &count, msg, CAP) == DG_OK); /* the length counts, not the NUL */
    CHECK(count == 1 && ids[0] == 320);
    CHECK(dg_tokenize("", 0, ids, 8, &count, msg, CAP) == DG_OK);
    CHECK(count == 0);
    CHECK(dg_tokenize(NULL, 0, ids, 8, &count, msg, CAP) == DG_OK);
    CHECK(count == 0);
    REFUSED(dg_tokenize(NULL, 3, ids, 8, &count, msg, CAP), DG_ERR_ARGUMENT, "NULL");
    REFUSED(dg_tokenize(text, 3, ids, 8, NULL, msg, CAP), DG_ERR_ARGUMENT, "NULL");
}

static dg_model_file file_at(const char* path) {
    dg_model_file file = {.struct_size = sizeof file, .path = path};
    return file;
}

static dg_model_params params_for(const dg_model_file* file) {
    dg_model_params params = {.struct_size = sizeof params, .files = file, .file_count = 1};
    return params;
}

/* Opening fails with the status, names the culprit, leaves *out NULL and no handle behind. */
static void refuse_open(const dg_model_params* params, dg_status status, const char* word, int line) {
    dg_model* model = (dg_model*)&failures; /* must be overwritten */
    memset(msg, 0, sizeof msg);
    dg_status found = dg_model_open(params, &model, msg, CAP);
    check(found == status, line, "status of dg_model_open", msg);
    check(strstr(msg, word) != NULL, line, word, msg);
    check(model == NULL, line, "*out is NULL", msg);
    check(dg_live_handles() == 0, line, "no handle is left", msg);
}

static dg_weight weight(const char* name, int32_t dims, int64_t out, int64_t in, int64_t side) {
    dg_weight w = {.struct_size = sizeof w, .name = name, .dims = dims, .shape = {out, in, side, side}};
    w.bytes     = 4 * out * (dims == 1 ? 1 : in * side * side);
    return w;
}

static void test_open_refusals(void) {
    dg_model_file file     = file_at("no-such-folder/no-such-file.safetensors");
    dg_model_params params = params_for(&file);
    refuse_open(NULL, DG_ERR_ARGUMENT, "NULL", __LINE__);
    REFUSED(dg_model_open(&params, NULL, msg, CAP), DG_ERR_ARGUMENT, "NULL");
    refuse_open(&params, DG_ERR_MODEL, "no-such-file.safetensors", __LINE__); /* no weights */

    dg_model_params p = params;
    p.struct_size     = 0;
    refuse_open(&p, DG_ERR_ARGUMENT, "struct_size", __LINE__);
    p            = params;
    p.file_count = 0;
    refuse_open(&p, DG_ERR_ARGUMENT, "files", __LINE__);
    p            = params;
    p.file_count = DG_MAX_FILES + 1;
    refuse_open(&p, DG_ERR_ARGUMENT, "files", __LINE__);
    p       = params;
    p.files = NULL;
    refuse_open(&p, DG_ERR_ARGUMENT, "files", __LINE__);

    file = file_at(NULL);
    refuse_open(&params, DG_ERR_ARGUMENT, "path", __LINE__);
    file             = file_at("x");
    file.struct_size = 0;
    refuse_open(&params, DG_ERR_ARGUMENT, "struct_size", __LINE__);

    p        = params;
    file     = file_at("x");
    p.device = "abacus:0";
    refuse_open(&p, DG_ERR_DEVICE, "abacus:0", __LINE__);
}

/* The smallest thing that is a model: a TAESD's encoder of two convolutions. */
static void test_weight_refusals(void) {
    dg_weight weights[4] = {
        weight("taesd.encoder.layers.0.weight", 4, 4, 3, 3), weight("taesd.encoder.layers.0.bias", 1, 4, 0, 0),
        weight("taesd.encoder.layers.1.weight", 4, 4, 4, 3), weight("taesd.encoder.layers.1.bias", 1, 4, 0, 0)};
    dg_model_file file     = file_at("no-such-file.safetensors");
    dg_model_params params = params_for(&file);
    params.weights         = weights;
    params.weight_count    = 4;
    refuse_open(&params, DG_ERR_FILE, "no-such-file.safetensors", __LINE__);

    dg_weight* w  = &weights[2];
    dg_weight was = *w;
#define REFUSED_WEIGHT(field, value, status, word)        \
    do {                                                  \
        w->field = (value);                               \
        refuse_open(&params, (status), (word), __LINE__); \
        *w = was;                                         \
    } while (0)
    REFUSED_WEIGHT(struct_size, 3, DG_ERR_ARGUMENT, "struct_size");
    REFUSED_WEIGHT(name, NULL, DG_ERR_ARGUMENT, "name");
    REFUSED_WEIGHT(file, 1, DG_ERR_ARGUMENT, "file of 1");
    REFUSED_WEIGHT(file, -1, DG_ERR_ARGUMENT, "file");
    REFUSED_WEIGHT(type, 4, DG_ERR_UNSUPPORTED, "type 4"); /* a number that GGUF no longer uses */
    REFUSED_WEIGHT(type, -1, DG_ERR_UNSUPPORTED, "type");
    REFUSED_WEIGHT(dims, 5, DG_ERR_ARGUMENT, "dims of 5");
    REFUSED_WEIGHT(dims, 3, DG_ERR_ARGUMENT, "bytes");
    REFUSED_WEIGHT(shape[0], 0, DG_ERR_ARGUMENT, "shape of 0");
    REFUSED_WEIGHT(shape[0], INT64_MAX, DG_ERR_ARGUMENT, "shape");
    REFUSED_WEIGHT(shape[0], 5, DG_ERR_ARGUMENT, "bytes");
    REFUSED_WEIGHT(bytes, was.bytes - 4, DG_ERR_ARGUMENT, "bytes");
    REFUSED_WEIGHT(bytes, -4, DG_ERR_ARGUMENT, "bytes");
    REFUSED_WEIGHT(offset, -1, DG_ERR_ARGUMENT, "bytes");
    REFUSED_WEIGHT(type, 8, DG_ERR_ARGUMENT, "bytes"); /* Q8_0: rows of 3 are no blocks */
    w->strided = 1;
    REFUSED_WEIGHT(strides[0], INT64_MAX, DG_ERR_ARGUMENT, "strides");
    w->strided = 1;
    REFUSED_WEIGHT(strides[0], 1000, DG_ERR_ARGUMENT, "bytes");
    w->name = "taesd.encoder.layers.2.weight"; /* layer 1 has no kernel, layer 2 no bias */
    refuse_open(&params, DG_ERR_MODEL, "not a TAESD", __LINE__);
}

static void test_null_handles(void) {
    dg_model* none         = NULL;
    dg_model_info info     = {.struct_size = sizeof info};
    dg_text_input text     = {.struct_size = sizeof text};
    dg_unet_input unet     = {.struct_size = sizeof unet};
    dg_compute_query query = {.struct_size = sizeof query};
    float value            = 0;
    size_t bytes           = 0;
    int32_t lanes          = 0;
    CHECK(dg_model_close(NULL, msg, CAP) == DG_OK);
    CHECK(dg_model_close(&none, msg, CAP) == DG_OK);
    REFUSED(dg_get_model_info(NULL, &info, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_model_set_cancel(NULL, 1, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_model_set_wrap(NULL, 1, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_text_encode(NULL, &text, &value, 1, NULL, 0, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_unet_eval(NULL, &unet, &value, 1, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_vae_encode(NULL, 1, 8, 8, &value, &value, 1, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_vae_decode(NULL, 1, 1, 1, &value, &value, 1, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_compute_size(NULL, &query, &bytes, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_compute_lanes(NULL, &query, &lanes, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_compute_held(NULL, &bytes, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_compute_release(NULL, msg, CAP), DG_ERR_ARGUMENT, "model");
    dg_residuals* kept = NULL;
    REFUSED(dg_residuals_new(NULL, 1, 8, 8, &kept, msg, CAP), DG_ERR_ARGUMENT, "model");
    REFUSED(dg_residuals_clear(kept, msg, CAP), DG_ERR_ARGUMENT, "residuals");
    CHECK(dg_residuals_free(&kept, msg, CAP) == DG_OK);
    CHECK(dg_residuals_free(NULL, msg, CAP) == DG_OK);
    CHECK(dg_live_handles() == 0);
}

static void count_line(int32_t level, const char* text, int64_t user) {
    if (level >= DG_LOG_DEBUG && level <= DG_LOG_ERROR && text != NULL && strchr(text, '\n') == NULL) {
        ++*(int*)(intptr_t)user;
    }
}

static void test_log(void) {
    int lines = 0;
    CHECK(dg_set_log(count_line, (int64_t)(intptr_t)&lines, DG_LOG_DEBUG, msg, CAP) == DG_OK);
    CHECK(dg_set_log(NULL, 0, DG_LOG_INFO, msg, CAP) == DG_OK);
    int before             = lines;
    dg_model_file file     = file_at("no-such-file.safetensors");
    dg_model_params params = params_for(&file);
    refuse_open(&params, DG_ERR_MODEL, "no-such-file.safetensors", __LINE__);
    CHECK(lines == before);
}

int main(void) {
    test_version();
    test_build_info();
    test_short_struct();
    test_long_struct();
    test_messages();
    test_devices();
    test_tokenize();
    test_open_refusals();
    test_weight_refusals();
    test_null_handles();
    test_log();
    printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
