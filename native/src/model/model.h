// An open model: the components of one SDXL checkpoint, each on its device, and what they compute.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/graph.h"
#include "backend/lanes.h"
#include "backend/nodes.h"
#include "lora/adapter.h"
#include "model/beside.h"
#include "model/features.h"
#include "model/image_prompts.h"
#include "model/precision.h"
#include "model/residuals.h"
#include "modules/control_xs.h"
#include "modules/controlnet.h"
#include "modules/esrgan.h"
#include "modules/image_encoder.h"
#include "modules/ip_adapter.h"
#include "modules/t2i_adapter.h"
#include "modules/taesd.h"
#include "modules/text_encoder.h"
#include "modules/unet.h"
#include "modules/vae.h"
#include "modules/yolo.h"

namespace dg {

constexpr int64_t kSizeEmbedding = 256;  // width of one size id's sinusoidal embedding

struct OpenParams {
    std::vector<SourceFile> files;
    std::vector<dg_weight> weights;  // the caller keeps their texts alive
    dg_model_config config;
    std::string device, device_text, device_vae;
    int32_t components = 0;
    int32_t type_unet = 0, type_text = 0, type_vae = 0;
    int32_t precision = 0, threads = 0, flash_attention = 0, convolution = 0;
    const volatile int32_t* cancel = nullptr;
    int32_t residency_text = 0, residency_unet = 0, residency_vae = 0;
    int64_t stream_bytes = 0, attention_bytes = 0;
    WeightCacheConfig cache;
};

class Model {
public:
    explicit Model(const OpenParams& params);

    void info(dg_model_info* out) const;
    void set_cancel(bool cancelled) {
        cancel_ = cancelled;
        if (cancelled) {
            hurry_ = true;
        }
    }
    void set_wrap(int32_t axes);

    // Residency (residency.cpp). Components are DG_COMPONENT_* bits.
    void load(int32_t components);
    void unload(int32_t components);
    MemoryAccount& memory() { return memory_; }
    const MemoryAccount& memory() const { return memory_; }
    // Called after a failed allocation: frees everything that the next call can make again.
    void make_room();

    void text_encode(const dg_text_input& in, float* hidden, size_t hidden_count, float* pooled, size_t pooled_count);
    // xs: the model of in.xs, or NULL.
    void unet_eval(const dg_unet_input& in, Features* features, const Residuals* on_device, Model* xs, float* out,
                   size_t out_count);
    void vae_encode(int64_t batch, int64_t height, int64_t width, const float* pixels, float* moments, size_t count);
    void vae_decode(int64_t batch, int64_t height, int64_t width, const float* latents, float* pixels, size_t count);
    void vae_part_info(int32_t stage, dg_vae_part_info* out) const;
    void vae_run_part(const dg_vae_part& in, float* output, size_t output_count, float* measured,
                      size_t measured_count);
    size_t residual_count(int64_t rows, int64_t height, int64_t width) const;
    void control_hint(int64_t batch, int64_t height, int64_t width, const float* pixels, float* embedding,
                      size_t count);
    void control_eval(const dg_control_input& in, const Residuals* on_device, float* residuals, size_t count);
    // Zeroed room on the UNet's device. It must not outlive the model.
    std::unique_ptr<Residuals> new_residuals(int64_t rows, int64_t height, int64_t width);
    void upscale(int64_t batch, int64_t height, int64_t width, const float* pixels, float* out, size_t count);
    void detect(int64_t batch, int64_t height, int64_t width, const float* pixels, float* out, size_t count);
    void image_encode(int64_t batch, const float* pixels, float* embeds, size_t embeds_count, float* hidden,
                      size_t hidden_count);
    void ip_adapter_run(const dg_ip_adapter_input& in, float* values, size_t count);
    size_t compute_size(const dg_compute_query& query, const Model* xs) const;
    int32_t compute_lanes(const dg_compute_query& query) const;
    std::vector<NodeGroup> compute_nodes(const dg_compute_query& query, const Model* xs) const;
    void transfers(dg_transfer_info* out) const;
    size_t compute_held() const {
        return runner_.held_bytes() + lanes_.held_bytes() + shallow_.held_bytes() + shallow_lanes_.held_bytes();
    }
    void compute_release() {  // of the graph that runs, and of the last one
        runner_.release();
        lanes_.release();
        shallow_release();
    }
    int64_t graphs_built() const {
        return runner_.builds() + lanes_.builds() + shallow_.builds() + shallow_lanes_.builds();
    }
    int64_t stacks_built() const { return stacks_built_; }

    std::vector<Module> modules() const;
    AdapterPtr load_adapter(const std::vector<dg_lora_target>& targets);
    // Drops everything made from an adapter. Called before the adapter is freed.
    void forget_adapter(const AdapterPtr& adapter);
    // Called before features are freed: graphs that read them are not run again.
    void forget_features() { shallow_release(); }
    Profile& profile() { return runner_.profile(); }
    const Profile& profile() const { return runner_.profile(); }

private:
    struct Component {
        bool present = false;
        std::unique_ptr<Params> params;
        std::shared_ptr<Worker> worker;
        std::unique_ptr<AdapterStack> stack;  // the adapters of the last call
        int32_t residency = DG_RESIDENT_ALWAYS;
        int64_t loads     = 0;  // names this loading of its weights, among all of the process
    };
    // For each component: its name, the beginning of its weights' names, and the function that opens it. A new component needs
    // one more entry.
    struct Known {
        const char* name;
        const char* prefix;
        void (Model::*open)(int index, const OpenParams& params);
    };
    static const Known kKnown[DG_COMPONENT_COUNT];
    enum Index {
        kText1,
        kText2,
        kUnet,
        kVaeEncoder,
        kVaeDecoder,
        kControl,
        kUpscaler,
        kImageEncoder,
        kIpAdapter,
        kDetector
    };

    std::shared_ptr<Worker> worker(const std::string& device);
    Traits traits(const Worker& worker) const;
    Traits traits(const Component& component) const;  // with its adapters
    // Gives a component its device and its Params. No weight is declared yet.
    Params& prepare(int index, const std::string& device, int32_t type);
    void open_text(int index, const OpenParams& params);
    void open_unet(int index, const OpenParams& params);
    void set_unet_config(UnetDims* dims) const;  // settings that the weights do not show
    void open_vae(int index, const OpenParams& params);
    void open_control(int index, const OpenParams& params);
    void open_xs(int index, const OpenParams& params);
    const ControlXs& joinable_xs(const Model& other) const;
    XsBeside join_xs(const dg_unet_input& in, Model* other) const;
    void open_taesd(int index, const OpenParams& params);  // replaces one half of the VAE
    void open_upscaler(int index, const OpenParams& params);
    void open_detector(int index, const OpenParams& params);
    void open_image_encoder(int index, const OpenParams& params);
    void open_ip_adapter(int index, const OpenParams& params);
    void image_info(dg_model_info* out) const;
    void network_info(dg_model_info* out) const;
    // Sinusoids of the timesteps, and pooled texts with sinusoids of the size ids: [N, model_channels] and [N, label].
    void embed_conditioning(const UnetDims& dims, int64_t n, const float* timesteps, const float* pooled,
                            const float* size_ids, std::vector<float>* time, std::vector<float>* label) const;
    void place_components(const OpenParams& params);
    void load_component(int index, const volatile int32_t* cancel);
    void require(int index, const char* what) const;
    void use(int index, const char* what);  // requires a component and has it loaded
    // Runs a graph of a component that is in use.
    void run(int index, const std::string& key, const BuildFunction& build, const std::vector<HostInput>& inputs,
             const std::vector<HostOutput>& outputs);
    // The same, with the rows divided into shares. Several shares run side by side.
    void run(int index, const std::vector<LaneCall>& calls);
    // The same for evaluations that take turns with others on one deep feature: both keep their graphs.
    void run_shallow(const std::vector<LaneCall>& calls);
    void run_beside_shallow(const std::vector<LaneCall>& calls);
    void run_calls(GraphRunner& runner, Lanes& lanes, int index, const std::vector<LaneCall>& calls);
    void shallow_release() {
        shallow_.release();
        shallow_lanes_.release();
    }
    // The number of rows in each share of a batch, at least `least`. `row` builds the graph of one row. `key` names everything
    // that graph depends on.
    std::vector<int64_t> shares(int index, int64_t rows, int64_t least, const std::string& key,
                                const BuildFunction& row) const;
    void fill_kind();

    // The adapters that a call uses on a component, and their scales. NULL if it uses none.
    const AdapterStack* stack_of(int index, const dg_lora_use* uses, int64_t count, std::vector<float>* scales);

    // Graphs, shared by computing and measuring.
    BuildFunction text_graph(int which, int64_t chunks, int64_t tokens, int64_t last, bool pooled, bool custom,
                             const AdapterStack* stack) const;
    BuildFunction unet_graph(int64_t batch, int64_t height, int64_t width, int64_t tokens, int64_t texts,
                             const AdapterStack* stack, const UnetBeside& beside = {}) const;
    // Declares the inputs of an evaluation and builds it; keep may be NULL.
    ggml_tensor* declare_unet(GraphBuilder& g, int64_t batch, int64_t height, int64_t width, int64_t tokens,
                              int64_t texts, const AdapterStack* stack, Unet::Keep* keep,
                              const UnetBeside& beside = {}) const;
    void check_residuals(const Residuals& residuals, int index, const UnetDims& dims, int64_t rows, int64_t height,
                         int64_t width) const;
    std::vector<int64_t> check_blocks(const dg_unet_input& in) const;
    // The graph of rows from `first` on that stores or reuses features (features.cpp).
    BuildFunction unet_graph_with(const Features& features, const FeatureUse& use, int64_t first, int64_t batch,
                                  int64_t height, int64_t width, int64_t tokens, int64_t texts,
                                  const AdapterStack* stack, const UnetBeside& beside) const;
    std::vector<FeatureShape> feature_shapes(const FeatureUse& use, int64_t height, int64_t width,
                                             int64_t tokens) const;
    void check_features(const FeatureUse& use) const;
    void prepare_features(Features& features, const FeatureUse& use, const dg_unet_input& in);
    size_t features_size(const dg_compute_query& query, const Model* xs) const;
    // The pictures of a query, as if each acted everywhere.
    PictureShapes pictures_of(const dg_compute_query& query) const;
    BuildFunction image_encoder_graph(int64_t batch, bool embeds, bool hidden) const;
    BuildFunction ip_adapter_graph(int64_t batch, int64_t pictures, int64_t tokens, float shortcut) const;
    // The number of rows in each share of an evaluation. Adapters do not change it.
    std::vector<int64_t> unet_shares(int64_t rows, int64_t height, int64_t width, int64_t tokens) const;
    // Bytes of the compute buffer that a graph of a component would need.
    size_t measure(int index, const BuildFunction& build, const AdapterStack* stack = nullptr) const;
    // What the graphs of a query have beside their sizes, without memory of its own. Graphs point into it.
    struct UnetQuery {
        std::unique_ptr<AdapterStack> stack;  // also of a text encoder
        std::unique_ptr<Residuals> residuals;
        std::unique_ptr<Features> features;
        FeatureUse use;
        PictureShapes pictures;
        const Model* xs = nullptr;  // of the query
    };
    UnetQuery unet_query(const dg_compute_query& query, const Model* xs) const;
    std::unique_ptr<AdapterStack> stack_of(int index, const dg_compute_query& query) const;
    BuildFunction unet_graph_of(const dg_compute_query& query, const UnetQuery& with, int64_t first, int64_t rows,
                                int64_t texts, std::shared_ptr<const ChangeShape> change) const;
    // The graph of a query, but of the UNet with all rows in one share; and its component.
    std::pair<int, BuildFunction> graph_of(const dg_compute_query& query, UnetQuery* with) const;
    size_t unet_compute_size(const dg_compute_query& query, const Model* xs) const;
    std::vector<int64_t> vae_decode_shares(int64_t pictures, int64_t height, int64_t width) const;
    size_t vae_decode_size(const dg_compute_query& query) const;
    void check_compute_query(const dg_compute_query& query, const char* what) const;
    BuildFunction control_hint_graph(int64_t batch, int64_t height, int64_t width) const;
    std::vector<int32_t> control_kinds(const dg_control_input& in) const;
    BuildFunction control_graph(int64_t batch, int64_t height, int64_t width, int64_t tokens, int64_t texts,
                                int64_t hints, const std::vector<int32_t>& kinds, const TextRegionShape& regions = {},
                                const Residuals* on_device = nullptr, int64_t first = 0) const;
    BuildFunction upscale_graph(int64_t batch, int64_t height, int64_t width) const;
    BuildFunction detect_graph(int64_t batch, int64_t height, int64_t width) const;
    BuildFunction vae_encode_graph(int64_t batch, int64_t height, int64_t width) const;
    BuildFunction vae_decode_graph(int64_t batch, int64_t height, int64_t width) const;
    BuildFunction taesd_encode_graph(int64_t batch, int64_t height, int64_t width) const;
    BuildFunction taesd_decode_graph(int64_t batch, int64_t height, int64_t width) const;

    // The VAE in parts; see vae_parts.cpp.
    void require_parts(int component) const;
    const Worker& vae_part_worker(int32_t stage) const;
    BuildFunction vae_part_graph(int32_t stage, int64_t height, int64_t width, bool given, const VaeCore* core) const;
    size_t vae_part_size(int32_t stage, int64_t height, int64_t width) const;

    MemoryAccount memory_;  // first, so that it is destroyed after everything it counts
    Source source_;
    dg_model_config config_;
    PrecisionChoice precision_;
    int32_t threads_ = 1, flash_ = 0;
    bool direct_convolution_ = false;
    int64_t attention_bytes_ = 0;
    std::atomic<bool> cancel_{false};
    std::atomic<bool> hurry_{
        false};  // a call was cancelled: who does that wants to be gone, and no cache is written any more
    std::vector<std::shared_ptr<Worker>> workers_;
    Component components_[DG_COMPONENT_COUNT];
    std::unique_ptr<TextEncoder> text_[2];
    std::unique_ptr<Unet> unet_;
    std::unique_ptr<VaeEncoder> vae_encoder_;
    std::unique_ptr<VaeDecoder> vae_decoder_;
    std::unique_ptr<ControlNet> control_;
    std::unique_ptr<T2iAdapter> t2i_;  // in the place of control_
    std::unique_ptr<ControlXs> xs_;  // the same
    std::unique_ptr<TaesdHalf> taesd_encoder_, taesd_decoder_;
    std::unique_ptr<Esrgan> upscaler_;
    std::unique_ptr<Yolo> detector_;
    std::unique_ptr<ImageEncoder> image_encoder_;
    std::unique_ptr<IpAdapter> ip_adapter_;
    VaeDims vae_dims_;
    int32_t wrap_         = DG_WRAP_NONE;
    int32_t kind_         = DG_KIND_UNKNOWN;
    int64_t size_ids_     = 0;
    int64_t stacks_built_ = 0;
    int running_          = -1;  // the component of the runner's graph
    GraphRunner runner_{&cancel_, &memory_};
    Lanes lanes_{&cancel_, &memory_};
    // The UNet's graphs that reuse a deep feature. They take turns with those of runner_ and lanes_.
    GraphRunner shallow_{&cancel_, &memory_};
    Lanes shallow_lanes_{&cancel_, &memory_};
    mutable std::map<std::string, bool> small_;  // by key: whether the graph of one row has small nodes
};

}  // namespace dg
