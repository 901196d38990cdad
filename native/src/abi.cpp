// The C ABI: argument checks, struct sizes, and the one place where exceptions become status codes.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <system_error>

#include "backend/device.h"
#include "backend/memory.h"
#include "base/error.h"
#include "base/log.h"
#include "daguerre.h"
#include "ggml.h"
#include "model/model.h"
#include "model/quantize.h"
#include "model/types.h"
#include "modules/trial.h"
#include "text/tokenizer.h"

struct dg_model {
    dg::Model model;

    explicit dg_model(const dg::OpenParams& params) : model(params) {}
};

// An adapter of a model. It must be freed before the model.
struct dg_lora {
    dg_model* model;
    dg::AdapterPtr adapter;
};

// Features of a model's UNet. They must be freed before the model.
struct dg_features {
    dg_model* model;
    dg::Features features;
};

// Residuals on the device of a model's UNet. They must be freed before the model.
struct dg_residuals {
    std::unique_ptr<dg::Residuals> residuals;
};

namespace dg {

// The object behind a pointer that the caller gave.
template <typename T>
static T& given(T* pointer, const char* name) {
    if (pointer == nullptr) {
        fail(DG_ERR_ARGUMENT, "%s: is NULL", name);
    }
    return *pointer;
}

const AdapterPtr& adapter_of(const dg_lora* lora, const Model& model) {
    if (&given(lora, "lora").model->model != &model) {
        fail(DG_ERR_ARGUMENT, "lora: belongs to another model");
    }
    return lora->adapter;
}

namespace {

const Residuals* residuals_of(const dg_residuals* on_device) {
    return on_device != nullptr ? on_device->residuals.get() : nullptr;
}

Model* xs_of(dg_model* xs) {
    return xs != nullptr ? &xs->model : nullptr;
}

std::atomic<int64_t> live_handles{0};

void write_message(char* msg, size_t cap, const char* text) {
    if (msg == nullptr || cap == 0) {
        return;
    }
    size_t n = std::min(cap - 1, std::strlen(text));
    while (n > 0 && n < std::strlen(text) && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) {
        n--;  // do not cut inside a UTF-8 sequence
    }
    std::memcpy(msg, text, n);
    msg[n] = '\0';
}

void on_ggml_abort(const char* message) {
    if (AssertionGuard::active()) {
        throw Error(DG_ERR_ENGINE, std::string("engine: ") + message);
    }
}

template <typename Body>
dg_status guard(char* msg, size_t cap, Body&& body) {
    static const bool installed = [] {
        ggml_set_abort_callback(on_ggml_abort);
        route_engine_logs();
        return_large_blocks();
        return true;
    }();
    (void)installed;
    const AssertionGuard assertions;
    try {
        body();
        write_message(msg, cap, "");
        return DG_OK;
    } catch (const Error& e) {
        write_message(msg, cap, e.what());
        return e.status();
    } catch (const std::bad_alloc&) {
        write_message(msg, cap, "out of memory on the host");
        return DG_ERR_OUT_OF_MEMORY;
    } catch (const std::system_error& e) {  // the system refused a thread, which it does when memory is short
        const bool memory =
            e.code() == std::errc::resource_unavailable_try_again || e.code() == std::errc::not_enough_memory;
        write_message(msg, cap,
                      ((memory ? "out of memory on the host: " : "engine: ") + std::string(e.what())).c_str());
        return memory ? DG_ERR_OUT_OF_MEMORY : DG_ERR_ENGINE;
    } catch (const std::exception& e) {
        write_message(msg, cap, (std::string("engine: ") + e.what()).c_str());
        return DG_ERR_ENGINE;
    } catch (...) {
        write_message(msg, cap, "engine: an unknown exception");
        return DG_ERR_ENGINE;
    }
}

// The size of the caller's struct. The caller may have another version of it.
template <typename T>
size_t size_of(const T* in, const char* name) {
    const size_t size = given(in, name).struct_size;
    if (size < sizeof(size_t)) {
        fail(DG_ERR_ARGUMENT, "%s.struct_size: %zu is too small; set it to sizeof(%s)", name, size, name);
    }
    return size;
}

// Copies as many bytes as the caller's struct has; the rest stays zero.
template <typename T>
T read_struct(const T* in, const char* name) {
    T copy;
    std::memset(&copy, 0, sizeof(copy));
    std::memcpy(&copy, in, std::min(sizeof(T), size_of(in, name)));
    copy.struct_size = sizeof(T);
    return copy;
}

// An array of structs of the caller's size.
template <typename T>
std::vector<T> read_structs(const T* in, int64_t count, const char* name) {
    std::vector<T> out;
    for (int64_t i = 0; i < count; i++) {
        const char* at = reinterpret_cast<const char*>(in) + static_cast<size_t>(i) * in->struct_size;
        out.push_back(read_struct(reinterpret_cast<const T*>(at), name));
    }
    return out;
}

template <typename T>
void write_struct(T* out, const T& value, const char* name) {
    const size_t size = size_of(out, name);
    std::memcpy(out, &value, std::min(sizeof(T), size));
    out->struct_size = size;
}

template <typename T>
T empty_struct() {
    T value;
    std::memset(&value, 0, sizeof(value));
    value.struct_size = sizeof(T);
    return value;
}

// Writes the struct that fill() fills in.
template <typename T, typename Fill>
void answer(T* out, const char* name, Fill fill) {
    T value = empty_struct<T>();
    fill(value);
    write_struct(out, value, name);
}

Model& model_of(dg_model* model) {
    return given(model, "model").model;
}

const Model& model_of(const dg_model* model) {
    return given(model, "model").model;
}

// A call that may allocate. After a failed allocation, the model frees everything that it can make again.
template <typename Body>
dg_status compute(dg_model* model, char* msg, size_t cap, Body&& body) {
    const dg_status status = guard(msg, cap, [&] { body(model_of(model)); });
    if (status == DG_ERR_OUT_OF_MEMORY && model != nullptr) {
        model->model.make_room();
    }
    return status;
}

template <size_t N>
void copy_text(char (&out)[N], const std::string& text) {
    write_message(out, N, text.c_str());
}

std::string text_or_empty(const char* text) {
    return text == nullptr ? "" : text;
}

// Instruction sets as cpu_features spells them, then the build's other features.
std::string build_features() {
    std::string text = built_features();
    std::istringstream words(DG_BUILD_FEATURES);
    for (std::string word; words >> word;) {
        if (word == "llamafile" || word == "portable" || word == "asan") {
            text += (text.empty() ? "" : " ") + word;
        }
    }
    return text;
}

OpenParams read_open_params(const dg_model_params* in) {
    const dg_model_params p = read_struct(in, "dg_model_params");
    if (p.file_count < 1 || p.file_count > DG_MAX_FILES || p.files == nullptr) {
        fail(DG_ERR_ARGUMENT, "files: %lld files given; 1 to %d are wanted", static_cast<long long>(p.file_count),
             DG_MAX_FILES);
    }
    OpenParams params;
    for (const dg_model_file& file : read_structs(p.files, p.file_count, "dg_model_file")) {
        if (file.path == nullptr || file.path[0] == '\0') {
            fail(DG_ERR_ARGUMENT, "files[%zu].path: is empty", params.files.size());
        }
        params.files.push_back({file.path, file.size, file.modified, file.changed, static_cast<uint64_t>(file.device),
                                static_cast<uint64_t>(file.inode)});
    }
    if (p.weight_count < 0 || (p.weight_count > 0 && p.weights == nullptr)) {
        fail(DG_ERR_ARGUMENT, "weights: %lld weights given", static_cast<long long>(p.weight_count));
    }
    params.weights = read_structs(p.weights, p.weight_count, "dg_weight");
    for (const dg_weight& weight : params.weights) {
        if (weight.name == nullptr) {
            fail(DG_ERR_ARGUMENT, "weights: a name is NULL");
        }
    }
    params.config = p.config == nullptr ? empty_struct<dg_model_config>() : read_struct(p.config, "dg_model_config");
    for (const int32_t value :
         {params.config.unet_norm_num_groups, params.config.vae_norm_num_groups, params.config.unet_attention_head_dim,
          params.config.text_head_dim, params.config.text_encoder_quick_gelu, params.config.text_encoder_2_quick_gelu,
          params.config.image_head_dim, params.config.image_quick_gelu}) {
        if (value < 0 || value > 4096) {
            fail(DG_ERR_ARGUMENT, "config: a value of %d is not in 0..4096", value);
        }
    }
    if (p.threads < 0 || p.threads > 1024) {
        fail(DG_ERR_ARGUMENT, "threads: %d is not in 0..1024", p.threads);
    }
    if (p.flash_attention < DG_FLASH_AUTO || p.flash_attention > DG_FLASH_ON) {
        fail(DG_ERR_ARGUMENT, "flash_attention: %d is none of DG_FLASH_*", p.flash_attention);
    }
    for (const int32_t residency : {p.residency_text, p.residency_unet, p.residency_vae}) {
        if (residency < DG_RESIDENT_ALWAYS || residency > DG_RESIDENT_MMAP) {
            fail(DG_ERR_ARGUMENT, "residency: %d is none of DG_RESIDENT_*", residency);
        }
    }
    if (p.stream_bytes < 0 || p.attention_bytes < 0) {
        fail(DG_ERR_ARGUMENT, "%s: %lld is negative", p.stream_bytes < 0 ? "stream_bytes" : "attention_bytes",
             static_cast<long long>(p.stream_bytes < 0 ? p.stream_bytes : p.attention_bytes));
    }
    params.device          = text_or_empty(p.device);
    params.device_text     = text_or_empty(p.device_text);
    params.device_vae      = text_or_empty(p.device_vae);
    params.components      = p.components;
    params.type_unet       = p.type_unet;
    params.type_text       = p.type_text;
    params.type_vae        = p.type_vae;
    params.precision       = p.precision;
    params.threads         = p.threads;
    params.flash_attention = p.flash_attention;
    params.convolution     = p.convolution;
    params.cancel          = p.cancel;
    params.residency_text  = p.residency_text;
    params.residency_unet  = p.residency_unet;
    params.residency_vae   = p.residency_vae;
    params.stream_bytes    = p.stream_bytes;
    params.attention_bytes = p.attention_bytes;
    params.cache           = {text_or_empty(p.cache_folder), text_or_empty(p.cache_build), p.cache_least, p.cache_most};
    return params;
}

}  // namespace
}  // namespace dg

using namespace dg;

int32_t dg_abi_version(void) {
    return DG_ABI_VERSION;
}

dg_status dg_get_build_info(dg_build_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        dg_build_info info = empty_struct<dg_build_info>();
        copy_text(info.variant, DG_VARIANT);
        copy_text(info.version, DG_VERSION);
        copy_text(info.engine, DG_ENGINE_PIN);
        copy_text(info.compiler, DG_COMPILER);
        copy_text(info.features, build_features());
        copy_text(info.cpu_features, cpu_features());
        info.cpu_supported = cpu_runs_this_build() ? 1 : 0;
        write_struct(out, info, "dg_build_info");
    });
}

dg_status dg_set_log(dg_log_callback callback, int64_t user, int32_t min_level, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { set_log(callback, user, min_level); });
}

int64_t dg_live_handles(void) {
    return live_handles.load();
}

dg_status dg_device_count(int32_t* count, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { given(count, "count") = static_cast<int32_t>(devices().size()); });
}

dg_status dg_get_device(int32_t index, dg_device_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (index < 0 || static_cast<size_t>(index) >= devices().size()) {
            fail(DG_ERR_ARGUMENT, "index: %d is not in 0..%zu", index, devices().size() - 1);
        }
        const Device& device = devices()[static_cast<size_t>(index)];
        dg_device_info info  = empty_struct<dg_device_info>();
        copy_text(info.id, device.id);
        copy_text(info.description, device.description);
        info.kind        = device.kind;
        info.is_software = device.is_software ? 1 : 0;
        device_memory(device, &info.free_bytes, &info.total_bytes);
        copy_text(info.driver, device.driver);
        info.max_tensor_bytes = device.max_tensor_bytes;
        info.max_buffer_bytes = device.max_buffer_bytes;
        write_struct(out, info, "dg_device_info");
    });
}

dg_status dg_model_open(const dg_model_params* params, dg_model** out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        given(out, "out") = nullptr;
        *out              = new dg_model(read_open_params(params));
        live_handles++;
    });
}

dg_status dg_model_close(dg_model** model, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (model != nullptr && *model != nullptr) {
            delete *model;
            *model = nullptr;
            live_handles--;
            trim_heap();
        }
    });
}

dg_status dg_get_model_info(const dg_model* model, dg_model_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap,
                 [&] { answer(out, "dg_model_info", [&](dg_model_info& info) { model_of(model).info(&info); }); });
}

dg_status dg_model_set_cancel(dg_model* model, int32_t cancelled, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).set_cancel(cancelled != 0); });
}

dg_status dg_model_set_wrap(dg_model* model, int32_t axes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).set_wrap(axes); });
}

dg_status dg_model_load(dg_model* model, int32_t components, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) { m.load(components); });
}

dg_status dg_model_unload(dg_model* model, int32_t components, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).unload(components); });
}

dg_status dg_model_memory(const dg_model* model, dg_memory_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        answer(out, "dg_memory_info", [&](dg_memory_info& info) { model_of(model).memory().report(&info); });
    });
}

dg_status dg_model_memory_reset(dg_model* model, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).memory().reset_peaks(); });
}

dg_status dg_test_fail_allocations(int64_t seed, double probability, int64_t after, int64_t* allocations, char* msg,
                                   size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        const int64_t past = fail_allocations(seed, probability, after);
        if (allocations != nullptr) {
            *allocations = past;
        }
    });
}

dg_status dg_tokenize(const char* text, size_t text_len, int32_t* ids, size_t cap, size_t* count, char* msg,
                      size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (count == nullptr || (text == nullptr && text_len > 0)) {
            fail(DG_ERR_ARGUMENT, "%s: is NULL", count == nullptr ? "count" : "text");
        }
        const std::vector<int32_t> found = Tokenizer::instance().encode(text, text_len);
        *count                           = found.size();
        if (ids != nullptr) {
            std::copy_n(found.begin(), std::min(cap, found.size()), ids);
        }
    });
}

dg_status dg_text_encode(dg_model* model, const dg_text_input* in, float* hidden, size_t hidden_count, float* pooled,
                         size_t pooled_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        m.text_encode(read_struct(in, "dg_text_input"), hidden, hidden_count, pooled, pooled_count);
    });
}

dg_status dg_unet_eval(dg_model* model, const dg_unet_input* in, float* out, size_t out_count, char* msg,
                       size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        const dg_unet_input input = read_struct(in, "dg_unet_input");
        if (input.features != nullptr && input.features->model != model) {
            fail(DG_ERR_ARGUMENT, "features: were made for another model");
        }
        m.unet_eval(input, input.features == nullptr ? nullptr : &input.features->features,
                    residuals_of(input.on_device), xs_of(input.xs), out, out_count);
    });
}

dg_status dg_features_new(dg_model* model, dg_features** out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        given(out, "out") = nullptr;
        *out              = new dg_features{model, Features(&model_of(model).memory())};
        live_handles++;
    });
}

dg_status dg_features_free(dg_features** features, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (features != nullptr && *features != nullptr) {
            (*features)->model->model.forget_features();
            delete *features;
            *features = nullptr;
            live_handles--;
        }
    });
}

dg_status dg_control_hint(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                          float* embedding, size_t embedding_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap,
                   [&](Model& m) { m.control_hint(batch, height, width, pixels, embedding, embedding_count); });
}

dg_status dg_control_eval(dg_model* model, const dg_control_input* in, float* residuals, size_t residual_count,
                          char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        const dg_control_input input = read_struct(in, "dg_control_input");
        m.control_eval(input, residuals_of(input.on_device), residuals, residual_count);
    });
}

dg_status dg_residuals_new(dg_model* model, int64_t rows, int64_t height, int64_t width, dg_residuals** out, char* msg,
                           size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        given(out, "out") = nullptr;
        *out              = new dg_residuals{m.new_residuals(rows, height, width)};
        live_handles++;
    });
}

dg_status dg_residuals_clear(dg_residuals* residuals, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { given(residuals, "residuals").residuals->clear(); });
}

dg_status dg_residuals_free(dg_residuals** residuals, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (residuals != nullptr && *residuals != nullptr) {
            delete *residuals;
            *residuals = nullptr;
            live_handles--;
        }
    });
}

dg_status dg_image_encode(dg_model* model, int64_t batch, const float* pixels, float* embeds, size_t embeds_count,
                          float* hidden, size_t hidden_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap,
                   [&](Model& m) { m.image_encode(batch, pixels, embeds, embeds_count, hidden, hidden_count); });
}

dg_status dg_ip_adapter_run(dg_model* model, const dg_ip_adapter_input* in, float* values, size_t values_count,
                            char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap,
                   [&](Model& m) { m.ip_adapter_run(read_struct(in, "dg_ip_adapter_input"), values, values_count); });
}

dg_status dg_upscale(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
                     size_t out_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) { m.upscale(batch, height, width, pixels, out, out_count); });
}

dg_status dg_detect(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
                    size_t out_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) { m.detect(batch, height, width, pixels, out, out_count); });
}

dg_status dg_vae_encode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                        float* moments, size_t moments_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap,
                   [&](Model& m) { m.vae_encode(batch, height, width, pixels, moments, moments_count); });
}

dg_status dg_vae_decode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* latents,
                        float* pixels, size_t pixels_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap,
                   [&](Model& m) { m.vae_decode(batch, height, width, latents, pixels, pixels_count); });
}

dg_status dg_vae_part_get_info(dg_model* model, int32_t stage, dg_vae_part_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        answer(out, "dg_vae_part_info", [&](dg_vae_part_info& info) { model_of(model).vae_part_info(stage, &info); });
    });
}

dg_status dg_vae_run_part(dg_model* model, const dg_vae_part* in, float* output, size_t output_count, float* measured,
                          size_t measured_count, char* msg, size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        m.vae_run_part(read_struct(in, "dg_vae_part"), output, output_count, measured, measured_count);
    });
}

dg_status dg_compute_size(dg_model* model, const dg_compute_query* query, size_t* bytes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        const dg_compute_query q = read_struct(query, "dg_compute_query");
        given(bytes, "bytes")    = model_of(model).compute_size(q, xs_of(q.xs));
    });
}

dg_status dg_compute_lanes(dg_model* model, const dg_compute_query* query, int32_t* lanes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        given(lanes, "lanes") = model_of(model).compute_lanes(read_struct(query, "dg_compute_query"));
    });
}

dg_status dg_compute_nodes(dg_model* model, const dg_compute_query* query, dg_node_info* nodes, size_t cap,
                           size_t* count, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        const dg_compute_query q           = read_struct(query, "dg_compute_query");
        const std::vector<NodeGroup> found = model_of(model).compute_nodes(q, xs_of(q.xs));
        given(count, "count")              = found.size();
        for (size_t i = 0; nodes != nullptr && i < std::min(cap, found.size()); i++) {
            dg_node_info info = empty_struct<dg_node_info>();
            copy_text(info.op, found[i].op);
            copy_text(info.operands, found[i].operands);
            copy_text(info.example, found[i].example);
            info.supported     = found[i].supported ? 1 : 0;
            info.count         = found[i].count;
            info.largest_bytes = found[i].largest_bytes;
            write_struct(&nodes[i], info, "dg_node_info");
        }
    });
}

dg_status dg_model_transfers(const dg_model* model, dg_transfer_info* out, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        dg_transfer_info info = empty_struct<dg_transfer_info>();
        model_of(model).transfers(&info);
        write_struct(out, info, "dg_transfer_info");
    });
}

dg_status dg_run_trial(const dg_trial* trial, double* seconds, float* values, size_t count, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap,
                 [&] { given(seconds, "seconds") = run_trial(read_struct(trial, "dg_trial"), values, count); });
}

dg_status dg_compute_held(const dg_model* model, size_t* bytes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { given(bytes, "bytes") = model_of(model).compute_held(); });
}

dg_status dg_compute_release(dg_model* model, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).compute_release(); });
}

dg_status dg_row_bytes(int32_t type, int64_t columns, size_t* bytes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { given(bytes, "bytes") = row_bytes(type, columns); });
}

dg_status dg_quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out, size_t out_bytes,
                      char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { quantize(type, values, rows, columns, out, out_bytes); });
}

dg_status dg_dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns,
                        float* values, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { dequantize(type, data, data_bytes, rows, columns, values); });
}

dg_status dg_model_set_profile(dg_model* model, int32_t enabled, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { model_of(model).profile().enable(enabled != 0); });
}

dg_status dg_model_get_profile(const dg_model* model, dg_profile_entry* entries, size_t cap, size_t* count, char* msg,
                               size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        const auto& found     = model_of(model).profile().entries();
        given(count, "count") = found.size();
        size_t i              = 0;
        for (auto it = found.begin(); entries != nullptr && it != found.end() && i < cap; ++it, ++i) {
            dg_profile_entry entry = empty_struct<dg_profile_entry>();
            copy_text(entry.stage, it->first.stage);
            copy_text(entry.op, it->first.op);
            copy_text(entry.module, it->first.module);
            entry.calls      = it->second.calls;
            entry.seconds    = it->second.seconds;
            entry.operations = it->second.operations;
            write_struct(&entries[i], entry, "dg_profile_entry");
        }
    });
}

dg_status dg_model_get_modules(const dg_model* model, dg_module_info* modules, size_t cap, size_t* count, char* msg,
                               size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        const std::vector<Module> found = model_of(model).modules();
        given(count, "count")           = found.size();
        for (size_t i = 0; modules != nullptr && i < std::min(cap, found.size()); i++) {
            dg_module_info info = empty_struct<dg_module_info>();
            copy_text(info.name, found[i].name);
            info.kind   = found[i].kind;
            info.type   = from_ggml_type(found[i].weight->type);
            info.in     = found[i].in;
            info.out    = found[i].out;
            info.kernel = found[i].kernel;
            info.bias   = found[i].bias ? 1 : 0;
            write_struct(&modules[i], info, "dg_module_info");
        }
    });
}

dg_status dg_lora_load(dg_model* model, const dg_lora_target* targets, int64_t count, dg_lora** out, char* msg,
                       size_t msg_cap) {
    return compute(model, msg, msg_cap, [&](Model& m) {
        given(out, "out") = nullptr;
        given(targets, "targets");
        if (count < 1) {
            fail(DG_ERR_ARGUMENT, "count: %lld; an adapter has at least one target", static_cast<long long>(count));
        }
        *out = new dg_lora{model, m.load_adapter(read_structs(targets, count, "dg_lora_target"))};
        live_handles++;
    });
}

dg_status dg_lora_bytes(const dg_lora* lora, int64_t* bytes, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { given(bytes, "bytes") = given(lora, "lora").adapter->bytes(); });
}

dg_status dg_lora_free(dg_lora** lora, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        if (lora != nullptr && *lora != nullptr) {
            (*lora)->model->model.forget_adapter((*lora)->adapter);
            delete *lora;
            *lora = nullptr;
            live_handles--;
            trim_heap();
        }
    });
}

dg_status dg_lora_merge(const dg_lora_target* target, double weight, float* w, int32_t dims, const int64_t* shape,
                        char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] { merge_change(read_struct(target, "dg_lora_target"), weight, w, dims, shape); });
}

dg_status dg_model_builds(const dg_model* model, int64_t* graphs, int64_t* stacks, char* msg, size_t msg_cap) {
    return guard(msg, msg_cap, [&] {
        given(graphs, "graphs") = model_of(model).graphs_built();
        given(stacks, "stacks") = model_of(model).stacks_built();
    });
}
