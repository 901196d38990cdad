/* daguerre.h: the C ABI of libdaguerre, the only public header of the native part.
 *
 * Rules that hold for every declaration here:
 *  - Plain C11. Handles are opaque; no struct is passed or returned by value.
 *  - Every struct begins with struct_size, set by the caller to sizeof(the struct it was
 *    compiled with). The library reads no field beyond it and takes zero for what is missing.
 *  - Every call that can fail returns a dg_status (0 is success) and, on failure, writes one
 *    NUL-terminated UTF-8 sentence into msg (cut to msg_cap bytes; msg may be NULL).
 *  - The caller owns every buffer. Only handles are freed through the library.
 *  - No C++ exception crosses this boundary, and an engine assertion on the calling thread is
 *    returned as DG_ERR_ENGINE.
 *  - A dg_model is used by one thread at a time. dg_model_set_cancel may be called from any.
 *  - Tensors are contiguous float32, last index fastest: [N,C,H,W], [N,T,D].
 *  - Booleans are int32_t: 0 or 1.
 */
#ifndef DAGUERRE_H
#define DAGUERRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define DG_API __declspec(dllexport)
#else
#define DG_API __attribute__((visibility("default")))
#endif

/* Raised whenever a declaration below changes in a way an older caller would misread. */
#define DG_ABI_VERSION 6

#define DG_MAX_LEVELS 8
#define DG_NAME_LEN 64
#define DG_DESC_LEN 256
#define DG_MAX_FILES 4096

typedef int32_t dg_status;
enum {
    DG_OK                = 0,
    DG_ERR_ARGUMENT      = 1, /* a caller's mistake: NULL, wrong size, unknown enum value */
    DG_ERR_FILE          = 2, /* a file cannot be opened or read */
    DG_ERR_FORMAT        = 3, /* a file is damaged or of an unknown format */
    DG_ERR_MODEL         = 4, /* tensors are missing, have wrong shapes, or make no known model */
    DG_ERR_OUT_OF_MEMORY = 5, /* a buffer could not be allocated on the device */
    DG_ERR_DEVICE        = 6, /* no such device, or it failed */
    DG_ERR_CANCELLED     = 7, /* dg_model_set_cancel stopped the call */
    DG_ERR_UNSUPPORTED   = 8, /* valid, but not offered by this model or device */
    DG_ERR_ENGINE        = 9  /* an assertion or exception inside the engine */
};

/* dg_type: how weights are stored in memory. Values are this ABI's own, not ggml's. */
enum {
    DG_TYPE_AUTO   = 0, /* as in the file, or what dg_model_open finds best for the device */
    DG_TYPE_F32    = 1,
    DG_TYPE_F16    = 2,
    DG_TYPE_BF16   = 3,
    DG_TYPE_Q8_0   = 4,
    DG_TYPE_Q4_0   = 5,
    DG_TYPE_Q4_1   = 6,
    DG_TYPE_Q5_0   = 7,
    DG_TYPE_Q5_1   = 8,
    DG_TYPE_Q2_K   = 9,
    DG_TYPE_Q3_K   = 10,
    DG_TYPE_Q4_K   = 11,
    DG_TYPE_Q5_K   = 12,
    DG_TYPE_Q6_K   = 13,
    DG_TYPE_IQ4_NL = 14,
    DG_TYPE_COUNT  = 15
};

/* dg_precision: the arithmetic around the weights. */
enum {
    DG_PRECISION_AUTO  = 0, /* the fastest that keeps fidelity on this device */
    DG_PRECISION_EXACT = 1, /* F32 weights, convolutions and attention; erf GELU */
    DG_PRECISION_F32   = 2, /* F32 weights and convolutions, fast attention */
    DG_PRECISION_F16   = 3,
    DG_PRECISION_BF16  = 4
};

/* dg_component: bits for what to load, and indices (bit position) for reports. */
enum {
    DG_COMPONENT_TEXT_ENCODER   = 1,
    DG_COMPONENT_TEXT_ENCODER_2 = 2,
    DG_COMPONENT_UNET           = 4,
    DG_COMPONENT_VAE_ENCODER    = 8,
    DG_COMPONENT_VAE_DECODER    = 16,
    DG_COMPONENT_CONTROLNET     = 32,
    DG_COMPONENT_UPSCALER       = 64,
    DG_COMPONENT_IMAGE_ENCODER  = 128,
    DG_COMPONENT_IP_ADAPTER     = 256,
    DG_COMPONENT_DETECTOR       = 512
};
#define DG_COMPONENT_COUNT 10

/* dg_kind: what the checkpoint is. */
enum {
    DG_KIND_UNKNOWN       = 0,
    DG_KIND_SDXL_BASE     = 1, /* two text encoders, 6 size ids, 4 input channels */
    DG_KIND_SDXL_REFINER  = 2, /* second text encoder only, 5 size ids with the aesthetic score */
    DG_KIND_SDXL_INPAINT  = 3, /* SDXL base with 9 input channels */
    DG_KIND_VAE           = 4, /* only a VAE */
    DG_KIND_TEXT_ENCODER  = 5, /* only text encoders */
    DG_KIND_CONTROLNET    = 6,
    DG_KIND_TAESD         = 7, /* encodes and decodes like a VAE, without a scaling factor */
    DG_KIND_UPSCALER      = 8,
    DG_KIND_IMAGE_ENCODER = 9, /* CLIP's, with its projection */
    DG_KIND_IP_ADAPTER    = 10,
    DG_KIND_DETECTOR      = 11 /* YOLOv8's, of boxes */
};

/* dg_residency: where a component's weights are. */
enum {
    DG_RESIDENT_ALWAYS    = 0, /* all in memory, loaded by dg_model_open */
    DG_RESIDENT_ON_DEMAND = 1, /* all in memory from the first use or dg_model_load on, until dg_model_unload */
    DG_RESIDENT_STREAM =
        2, /* pass through a window of stream_bytes in every computation: on a CPU from the file, on others from
                                  host memory */
    DG_RESIDENT_MMAP =
        3  /* on a CPU: those of the wanted type are used where the mapped file has them, the others are loaded */
};

enum { DG_DEVICE_CPU = 0, DG_DEVICE_GPU = 1, DG_DEVICE_IGPU = 2, DG_DEVICE_ACCEL = 3 };

enum { DG_LOG_DEBUG = 0, DG_LOG_INFO = 1, DG_LOG_WARN = 2, DG_LOG_ERROR = 3 };

enum { DG_FLASH_AUTO = 0, DG_FLASH_OFF = 1, DG_FLASH_ON = 2 };

/* dg_conv: how devices other than the CPU compute convolutions: as a product over columns in memory, or by a kernel of their own.
 * AUTO is IM2COL. Weights that the device has no kernel for are computed by IM2COL. The CPU has its own way. */
enum { DG_CONV_AUTO = 0, DG_CONV_IM2COL = 1, DG_CONV_DIRECT = 2 };

typedef struct dg_model dg_model;

/* Called with one line of log text without a newline; text is valid during the call only.
 * It may come from any thread, one at a time. */
typedef void (*dg_log_callback)(int32_t level, const char* text, int64_t user);

/* ---- library ------------------------------------------------------------------------- */

DG_API int32_t dg_abi_version(void);

typedef struct dg_build_info {
    size_t struct_size;
    char variant[DG_NAME_LEN]; /* "cpu", "vulkan", "cuda" */
    char version[DG_NAME_LEN]; /* of libdaguerre */
    char engine[DG_NAME_LEN]; /* pin of the engine, e.g. "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)" */
    char compiler[DG_DESC_LEN];
    char features[DG_DESC_LEN]; /* compiled in, space separated: "avx512 avx512_bf16 llamafile" */
    char cpu_features[DG_DESC_LEN]; /* of this CPU, same spelling */
    int32_t cpu_supported; /* 0: this CPU lacks an instruction set that was compiled in */
} dg_build_info;

/* Must be the first call after dg_abi_version: it reports whether this CPU can run the rest. */
DG_API dg_status dg_get_build_info(dg_build_info* out, char* msg, size_t msg_cap);

/* Process-wide; NULL turns logging off. Lines below min_level are dropped before formatting. */
DG_API dg_status dg_set_log(dg_log_callback callback, int64_t user, int32_t min_level, char* msg, size_t msg_cap);

/* Number of handles that were opened and not closed. */
DG_API int64_t dg_live_handles(void);

/* ---- devices ------------------------------------------------------------------------- */

typedef struct dg_device_info {
    size_t struct_size;
    char id[DG_NAME_LEN]; /* stable name used in options: "cpu", "vulkan:0", "cuda:1" */
    char description[DG_DESC_LEN]; /* as the driver calls it */
    int32_t kind; /* DG_DEVICE_* */
    int32_t is_software; /* a GPU API emulated on the CPU (lavapipe): only by explicit choice */
    int64_t total_bytes;
    int64_t free_bytes; /* now */
    char driver[DG_DESC_LEN]; /* name and version; empty for the CPU, and where it is not known */
    int64_t max_tensor_bytes; /* the largest tensor that the device can compute with; 0: memory is the limit */
    int64_t max_buffer_bytes; /* the largest single allocation; more is divided; 0: memory is the limit */
} dg_device_info;

DG_API dg_status dg_device_count(int32_t* count, char* msg, size_t msg_cap);
DG_API dg_status dg_get_device(int32_t index, dg_device_info* out, char* msg, size_t msg_cap);

/* ---- models -------------------------------------------------------------------------- */

/* What weights do not tell. Zero means SDXL's own value. */
typedef struct dg_model_config {
    size_t struct_size;
    int32_t unet_norm_num_groups; /* 32 */
    int32_t vae_norm_num_groups; /* 32 */
    int32_t unet_attention_head_dim; /* channels per head: 64 */
    int32_t text_head_dim; /* channels per head of both text encoders: 64 */
    int32_t text_encoder_quick_gelu; /* 0: default (1), 1: quick_gelu, 2: gelu (erf) */
    int32_t text_encoder_2_quick_gelu; /* 0: default (2), 1: quick_gelu, 2: gelu (erf) */
    int32_t image_head_dim; /* channels per head of the image encoder: 80 of ViT-H, 104 of ViT-bigG, else 64 */
    int32_t image_quick_gelu; /* 0: default (2), 1: quick_gelu, 2: gelu (erf) */
    /* ControlNet-XS, as its config.json says: */
    int32_t xs_heads[DG_MAX_LEVELS]; /* num_attention_heads of each level; all are needed */
    int32_t xs_norm_num_groups; /* max_norm_num_groups: 32 */
    int32_t xs_bgr; /* 1: conditioning_channel_order is bgr */
    int32_t xs_time_mix_given; /* 1: the next counts */
    int32_t xs_reserved;
    double xs_time_mix; /* time_embedding_mix: 1 */
} dg_model_config;

/* A file, and what told it from others when the caller read its header. Where modified is not 0, a file that is another one by then
 * is DG_ERR_FILE whenever weights are read from it: a removed, replaced or rewritten one. */
typedef struct dg_model_file {
    size_t struct_size;
    const char* path;
    int64_t size; /* bytes */
    int64_t modified; /* of its contents: nanoseconds since 1970 */
    int64_t changed; /* of its contents, names or mode; 0: not known */
    int64_t device; /* with inode; 0: not known */
    int64_t inode;
} dg_model_file;

/* Types that files store and GGUF has no number for; values of dg_weight.type. */
enum { DG_STORED_F8_E4M3 = 1000, DG_STORED_F8_E5M2 = 1001 };

/* One weight, and where a file holds it. The caller has checked the file's header; nothing else of it is read but these bytes. */
typedef struct dg_weight {
    size_t struct_size;
    const char* name; /* canonical: "unet.conv_in.weight" */
    const char* stored; /* its name in the file, for messages; NULL: name */
    int32_t file; /* index into files */
    int32_t type; /* as GGUF numbers types (0 F32, 1 F16, 8 Q8_0, 28 F64, 30 BF16, ...), or DG_STORED_* */
    int32_t dims; /* 0 to 4 */
    int32_t strided; /* 1: the elements lie as strides says; 0: in the order of shape */
    int64_t offset; /* of the first byte in the file */
    int64_t bytes; /* from there to the last element */
    int64_t shape[4]; /* as the component takes it, slowest first */
    int64_t strides[4]; /* of each dimension, in elements */
    const float* scale; /* what stored values are multiplied by, of FP8 types; NULL: nothing */
    int64_t scale_count; /* 1, or one for each of the equal runs that the elements make in the order of shape */
} dg_weight;

typedef struct dg_model_params {
    size_t struct_size;
    const dg_model_file* files;
    int64_t file_count;
    const dg_weight*
        weights; /* every weight of the components that there are; what is missing is an error that names it */
    int64_t weight_count;
    const dg_model_config* config; /* may be NULL */
    const char* device; /* id of dg_device_info, NULL or "auto" for the best */
    const char* device_text; /* NULL: as device */
    const char* device_vae; /* NULL: as device */
    int32_t components; /* DG_COMPONENT_* bits to load; 0: all that are there */
    int32_t type_unet; /* DG_TYPE_*; AUTO keeps the file's or what precision asks for */
    int32_t type_text;
    int32_t type_vae;
    int32_t precision; /* DG_PRECISION_* */
    int32_t threads; /* CPU threads; 0: all physical cores this process may use */
    int32_t flash_attention; /* DG_FLASH_* */
    const volatile int32_t* cancel; /* may be NULL; polled while loading, non-zero stops dg_model_open */
    int32_t residency_text; /* DG_RESIDENT_*, of both text encoders */
    int32_t residency_unet; /* also of a ControlNet, upscaler or detector */
    int32_t residency_vae;
    int32_t convolution; /* DG_CONV_* */
    int64_t stream_bytes; /* window of each streamed component; 0: 512 MiB */
    int64_t attention_bytes; /* scores that attention computes at once, where it keeps them in memory; 0: all */
    const char* cache_folder; /* of converted weights, which must exist; NULL: they are not kept */
    const char* cache_build; /* tells this build of the library from others */
    int64_t cache_least; /* bytes that a component must convert to be kept */
    int64_t cache_most; /* bytes that a new file may have; negative: none is written */
} dg_model_params;

/* Makes and loads the chosen components of those that the weights make. Progress comes as log lines.
 * On failure *out is NULL. Errors name the file and the tensor. */
DG_API dg_status dg_model_open(const dg_model_params* params, dg_model** out, char* msg, size_t msg_cap);

/* Frees the model and sets *model to NULL; closing NULL is allowed. */
DG_API dg_status dg_model_close(dg_model** model, char* msg, size_t msg_cap);

typedef struct dg_component_info {
    size_t struct_size;
    int32_t present; /* in the files */
    int32_t
        loaded; /* chosen when the model was opened: can be computed with; dg_model_memory tells what is in memory */
    int32_t file_type; /* DG_TYPE_* of most weight bytes in the file */
    int32_t type; /* DG_TYPE_* of most weight bytes in memory */
    int64_t tensor_count;
    int64_t parameter_count;
    int64_t parameter_bytes; /* in memory when all of it is loaded */
    char device[DG_NAME_LEN];
} dg_component_info;

typedef struct dg_text_info {
    size_t struct_size;
    int64_t vocab_size;
    int64_t width; /* hidden size */
    int64_t layers;
    int64_t heads;
    int64_t projection_dim; /* of the pooled output; 0 where there is no projection */
    int64_t max_tokens; /* 77 */
} dg_text_info;

typedef struct dg_unet_info {
    size_t struct_size;
    int64_t in_channels; /* 4, 9 for inpainting */
    int64_t out_channels; /* 4 */
    int64_t model_channels; /* 320 for base */
    int64_t context_dim; /* 2048 for base */
    int64_t label_dim; /* input width of the label embedding: pooled + 256 x size ids */
    int64_t pooled_dim; /* label_dim - 256 x size_ids */
    int64_t size_ids; /* 6; 5 for the refiner */
    int64_t levels;
    int64_t channels[DG_MAX_LEVELS]; /* per level: 320 640 1280 */
    int64_t resnets[DG_MAX_LEVELS]; /* per level on the way down: 2 2 2 */
    int64_t transformer_depth[DG_MAX_LEVELS]; /* per level: 0 2 10 */
    int64_t middle_depth;
    int64_t head_dim; /* 64 */
    int64_t norm_num_groups; /* 32 */
} dg_unet_info;

typedef struct dg_vae_info {
    size_t struct_size;
    int64_t latent_channels; /* 4 */
    int64_t levels;
    int64_t encoder_channels[DG_MAX_LEVELS]; /* 128 256 512 512 */
    int64_t decoder_channels[DG_MAX_LEVELS]; /* in the encoder's order: 128 256 512 512 */
    int64_t encoder_resnets;
    int64_t decoder_resnets;
    int64_t downscale; /* 8: pixels per latent cell and side */
    int64_t norm_num_groups;
} dg_vae_info;

/* Of a ControlNet; its UNet-like dimensions are in dg_model_info.unet, with out_channels 0. A T2I-Adapter has no such dimensions: it
 * turns its picture into features for the UNet's down blocks and middle, and is not evaluated in the steps. A ControlNet-XS has there the
 * dimensions of the UNet that it is for. It is evaluated inside that UNet. */
typedef struct dg_control_info {
    size_t struct_size;
    int64_t hint_channels; /* of the control picture: 3 */
    int64_t hint_downscale; /* pixels of it per latent cell and side: 8; its sides must be multiples of it */
    int64_t control_types; /* kinds of control a Union net tells apart; 0 for an ordinary one */
    int64_t features; /* blocks of features of a T2I-Adapter: 4; 0 for a ControlNet */
    int64_t feature_channels[DG_MAX_LEVELS]; /* 320 640 1280 1280 */
    int64_t feature_downscale[DG_MAX_LEVELS]; /* pixels of the picture per cell and side, rounded up: 16 16 32 32 */
    int64_t xs_channels; /* of a ControlNet-XS: those of the embedded picture; 0: it is none */
} dg_control_info;

typedef struct dg_upscaler_info {
    size_t struct_size;
    int64_t scale; /* 2, 4, ... */
    int64_t channels;
    int64_t blocks;
    int64_t multiple; /* height and width of the input must be multiples of it */
} dg_upscaler_info;

typedef struct dg_detector_info {
    size_t struct_size;
    int64_t classes;
    int64_t bins; /* of the distribution of each side of a box: 16 */
    int64_t multiple; /* height and width of the input must be multiples of it: 32 */
} dg_detector_info;

typedef struct dg_image_encoder_info {
    size_t struct_size;
    int64_t width; /* of the hidden states */
    int64_t layers;
    int64_t heads;
    int64_t projection_dim; /* of the embedding */
    int64_t tokens; /* patches and the class token: 257 */
    int64_t size; /* pixels along a side: 224 */
} dg_image_encoder_info;

typedef struct dg_ip_adapter_info {
    size_t struct_size;
    int64_t embed_dim; /* of what it takes from an image encoder; 0: nothing */
    int64_t
        hidden; /* 1: it takes hidden states, one for each of the encoder's tokens; 0: one embedding for a picture */
    int64_t face_dim; /* of a face's embedding; 0: it takes none */
    int64_t tokens; /* of a picture */
    int64_t context_dim; /* of a token, as the UNet's */
    int64_t layers; /* cross attentions */
    int64_t values; /* keys and values of a token in all of them */
} dg_ip_adapter_info;

typedef struct dg_model_info {
    size_t struct_size;
    int32_t kind; /* DG_KIND_* */
    int32_t precision; /* DG_PRECISION_* chosen, never AUTO */
    int32_t flash_attention; /* 1 if used by the UNet */
    int32_t threads;
    char precision_reason[DG_DESC_LEN]; /* one clause: why this precision and type */
    dg_component_info components[DG_COMPONENT_COUNT]; /* by bit position of DG_COMPONENT_* */
    dg_text_info text_encoder;
    dg_text_info text_encoder_2;
    dg_unet_info unet;
    dg_vae_info vae;
    dg_control_info control;
    dg_upscaler_info upscaler;
    int64_t unet_guidance_dim; /* width of the embedding of the guidance scale, of a UNet that is told it (LCM): 256 */
    dg_image_encoder_info image_encoder;
    dg_ip_adapter_info ip_adapter;
    int64_t unet_attentions; /* cross attentions of the UNet */
    int64_t unet_attention_values; /* keys and values of a token in all of them */
    dg_detector_info detector;
} dg_model_info;

DG_API dg_status dg_get_model_info(const dg_model* model, dg_model_info* out, char* msg, size_t msg_cap);

/* ---- memory -------------------------------------------------------------------------- */

/* Loads the weights of components (DG_COMPONENT_* bits) that are not in memory; of a streamed one it makes the window. What is
 * loaded already stays. Components that are not used need not be loaded, and those that are used are loaded then. */
DG_API dg_status dg_model_load(dg_model* model, int32_t components, char* msg, size_t msg_cap);

/* Frees the weights of components, whatever their residency, and the compute buffers that read them. The next use loads them
 * again: results are the same, bit for bit. */
DG_API dg_status dg_model_unload(dg_model* model, int32_t components, char* msg, size_t msg_cap);

/* Bytes held now, and the most of each since the model was opened or dg_model_memory_reset. Arrays are by bit position of
 * DG_COMPONENT_*. */
typedef struct dg_memory_info {
    size_t struct_size;
    int32_t loaded; /* DG_COMPONENT_* bits: weights are in memory, or their window is */
    int32_t reserved;
    int64_t weights[DG_COMPONENT_COUNT]; /* on the component's device: its tensors, or its window */
    int64_t weights_peak[DG_COMPONENT_COUNT];
    int64_t host[DG_COMPONENT_COUNT]; /* in host memory: what a device other than the CPU is streamed to from */
    int64_t host_peak[DG_COMPONENT_COUNT];
    int64_t mapped[DG_COMPONENT_COUNT]; /* used in a mapped file: the system may drop and read these again */
    int64_t compute; /* compute buffer */
    int64_t compute_peak;
    int64_t adapters; /* adapters, and stacks of them */
    int64_t adapters_peak;
    int64_t total; /* weights, host, compute and adapters together */
    int64_t total_peak;
} dg_memory_info;

/* May be called from any thread while the model is open, also during a call. */
DG_API dg_status dg_model_memory(const dg_model* model, dg_memory_info* out, char* msg, size_t msg_cap);

/* Sets every peak to what is held now. May be called from any thread. */
DG_API dg_status dg_model_memory_reset(dg_model* model, char* msg, size_t msg_cap);

/* For tests, process-wide: lets allocations of weights, compute buffers and adapters fail with DG_ERR_OUT_OF_MEMORY. The
 * first `after` succeed; of the others each fails with the given probability, by a generator of its own that `seed` starts.
 * A probability of 0 ends it. The environment variable DAGUERRE_FAIL_ALLOCATIONS="seed,probability,after" does the same from the
 * start. *allocations, where not NULL, is the number of allocations since the last call. */
DG_API dg_status dg_test_fail_allocations(int64_t seed, double probability, int64_t after, int64_t* allocations,
                                          char* msg, size_t msg_cap);

/* Sets or clears the model's cancel flag. While it is set, a running call stops as soon as the
 * current operation allows and returns DG_ERR_CANCELLED, as does every later call until cleared. */
DG_API dg_status dg_model_set_cancel(dg_model* model, int32_t cancelled, char* msg, size_t msg_cap);

/* dg_wrap: the axes along which convolutions take what lies beyond a picture's border from its other side, instead of zeros: latents
 * and pictures then continue across that border, as tiles of a pattern. Holds for all graphs of the model from the next call on. */
enum { DG_WRAP_NONE = 0, DG_WRAP_X = 1, DG_WRAP_Y = 2 };

/* axes: DG_WRAP_* bits. Changing them frees the compute buffers. */
DG_API dg_status dg_model_set_wrap(dg_model* model, int32_t axes, char* msg, size_t msg_cap);

/* ---- computing ----------------------------------------------------------------------- */

/* CLIP's byte pair encoding of UTF-8 text, without start, end or padding tokens (start 49406,
 * end 49407). The text must be in Unicode form NFC and lower case already, as the reference
 * tokenizer makes it before splitting; white space of any kind separates words. Writes at most cap ids, and the full number to *count;
 * ids may be NULL to count.
 * Needs no model and may be called from any thread. */
DG_API dg_status dg_tokenize(const char* text, size_t text_len, int32_t* ids, size_t cap, size_t* count, char* msg,
                             size_t msg_cap);

/* An adapter; see "adapters" below. */
typedef struct dg_lora dg_lora;

/* One adapter in one call. The change of target i is multiplied by weights[i]; an adapter whose weights are all 0 takes
 * no part. Changing weights builds nothing anew. */
typedef struct dg_lora_use {
    size_t struct_size;
    const dg_lora* lora;
    const float* weights;
    int64_t weight_count; /* the adapter's number of targets */
} dg_lora_use;

typedef struct dg_text_input {
    size_t struct_size;
    int32_t encoder; /* 0 first (CLIP-L), 1 second (OpenCLIP-bigG) */
    int32_t clip_skip; /* 0: the layer SDXL uses (the penultimate); k: k layers earlier, as in diffusers */
    int64_t chunks; /* rows of ids; each is encoded by itself */
    int64_t tokens; /* ids per row: max_tokens (77), with start, end and padding */
    const int32_t* ids; /* [chunks, tokens]; vocab_size + k selects row k of custom */
    const float* custom; /* [custom_count, width] embeddings of textual inversion; may be NULL */
    int64_t custom_count;
    const dg_lora_use* loras; /* adapters to apply; NULL: none. Targets of other components are passed over */
    int64_t lora_count;
} dg_text_input;

/* hidden [chunks, tokens, width]: the chosen layer's output without the final norm.
 * pooled [chunks, projection_dim]: the last layer's output at each row's first end token (49407), with final
 * norm, projected; NULL where it is not wanted. Counts are in floats and are checked. */
DG_API dg_status dg_text_encode(dg_model* model, const dg_text_input* in, float* hidden, size_t hidden_count,
                                float* pooled, size_t pooled_count, char* msg, size_t msg_cap);

/* Results of layers inside the UNet that an evaluation stores and later ones reuse. They stay on the UNet's device. */
typedef struct dg_features dg_features;

/* dg_keep: which results.
 * DEEP: what the way up is before it takes skip `branch` (0: of the first convolution; then of each resnet and downsampling). An
 * evaluation that reuses it computes only the skips up to `branch` and the way up from there.
 * TEXT_ATTENTION: what each cross-attention adds. An evaluation that reuses it reads no context. */
enum { DG_KEEP_NONE = 0, DG_KEEP_DEEP = 1, DG_KEEP_TEXT_ATTENTION = 2 };

/* dg_features_use: STORE replaces what is kept. MEAN makes it the mean of what is kept and of this evaluation's. REUSE takes it. MEAN
 * and REUSE need an earlier STORE with equal batch, height, width, keep and branch; otherwise they are DG_ERR_ARGUMENT. */
enum { DG_FEATURES_STORE = 0, DG_FEATURES_MEAN = 1, DG_FEATURES_REUSE = 2 };

/* Makes room for features of a model's UNet; it is empty, and takes memory from the first STORE on. Free it before the model. */
DG_API dg_status dg_features_new(dg_model* model, dg_features** out, char* msg, size_t msg_cap);

/* Frees them and sets *features to NULL; freeing NULL is allowed. */
DG_API dg_status dg_features_free(dg_features** features, char* msg, size_t msg_cap);

/* Residuals on the device of a model's UNet. ControlNets on the same device add to them, so that nothing passes through the host. */
typedef struct dg_residuals dg_residuals;

/* Pictures beside the text in the UNet's cross attentions: one IP-Adapter's, with one weight. In every attention their result is
 * added to that of the text. Cross attentions are numbered as diffusers' attn_processors: down blocks, up blocks, middle. */
typedef struct dg_image_prompt {
    size_t struct_size;
    const float* values; /* [count, ...]: what dg_ip_adapter_run left, for each different row of pictures */
    int64_t count; /* of these rows */
    int64_t tokens; /* of each row */
    const int32_t* of_row; /* [N]: for each row of the evaluation, which of count it has */
    const float*
        scales; /* [N, unet_attentions]: what each attention's result is multiplied by; 0 in all rows leaves it out */
    /* The part of the picture that it acts on, in 0 to 1: a mask for the latents' size, then one for each level below, rounded up to
     * half its size, [height, width] each; NULL: everywhere */
    const float* mask;
    int64_t mask_count; /* floats in it */
} dg_image_prompt;
/* Texts in parts of the picture (attention couple). The last rows of an evaluation have some beside their own. In every cross attention
 * their queries attend to each text, and the result is the sum of all by shares. Equal texts leave the result as it is, bit for bit. */
typedef struct dg_text_regions {
    size_t struct_size;
    int64_t count; /* of each row, beside its own: 1 or more */
    int64_t rows; /* the last ones of the evaluation */
    const float* context; /* [count, rows, T, context_dim] */
    /* How much each of these texts counts, [count, rows, cells]: in each cell of the latents' size, then of each level below, rounded up to
     * half its size. The row's own text has what is left of 1 */
    const float* shares;
    int64_t share_count; /* floats in it */
} dg_text_regions;

/* What an evaluation changes inside the UNet. Layers are named as in diffusers, "mid_block.attentions.0.transformer_blocks.0". */
typedef struct dg_unet_change {
    size_t struct_size;
    /* The last rows are perturbed: identity_rows of them, and behind those blurred_rows. In the layers listed, one on a line, the
     * self-attention of the former is the identity (PAG). That of the latter has queries that are blurred by blur_sigma cells (SEG);
     * above 9999 each is the mean of all. */
    int64_t identity_rows;
    int64_t blurred_rows;
    const char* identity_layers;
    const char* blurred_layers;
    double blur_sigma;
    double
        freeu_s1; /* FreeU: factors of the skips and of the backbone, in the first and the second block of the way up */
    double freeu_s2;
    double freeu_b1;
    double freeu_b2;
    int32_t freeu; /* 0: none */
    int32_t reserved;
} dg_unet_change;

typedef struct dg_unet_input {
    size_t struct_size;
    int64_t batch; /* N >= 1 */
    int64_t height; /* of the latents, in cells */
    int64_t width;
    int64_t context_tokens; /* T: 77 x chunks */
    const float* sample; /* [N, in_channels, height, width], already scaled */
    const float* timesteps; /* [N] */
    const float* context; /* [N, T, context_dim] */
    const float* pooled; /* [N, pooled_dim] */
    const float* size_ids; /* [N, size_ids] */
    const float* residuals; /* as dg_control_eval leaves them, for these N rows; NULL: none */
    int64_t residual_count; /* floats in it */
    const dg_lora_use* loras; /* adapters to apply; NULL: none. Targets of other components are passed over */
    int64_t lora_count;
    const float* guidance; /* [N]: the scale that each row is told, where unet_guidance_dim is not 0; NULL: none */
    dg_features* features; /* what to keep of this evaluation or to take from an earlier one; NULL: nothing */
    int32_t keep; /* DG_KEEP_* */
    int32_t features_use; /* DG_FEATURES_* */
    int64_t branch; /* DG_KEEP_DEEP: 0 to the number of skips - 1; otherwise 0 */
    const dg_residuals* on_device; /* residuals on the device, for N rows, instead of those above; NULL: none */
    const dg_image_prompt* prompts; /* NULL: none */
    int64_t prompt_count;
    const dg_unet_change* change; /* NULL: nothing. It excludes features */
    /* Of T2I-Adapters: what is added to each down block and to the middle, one after the other, [block_rows, channels, h, w] each, as
     * dg_control_hint leaves them. A block with attention takes it before it halves the size, another one after that. NULL: none */
    const float* block_features;
    int64_t block_rows; /* 1: the same for all rows; or N */
    int64_t block_count; /* floats in it */
    const dg_text_regions* regions; /* NULL: none */
    /* A ControlNet-XS: an open model on the UNet's device and in its precision, which is not streamed. It becomes a part of this
     * evaluation, and must not be used or closed meanwhile. NULL: none */
    dg_model* xs;
    const float* xs_hint; /* [xs_channels, height, width]: dg_control_hint's, the same for all rows */
    double xs_scale; /* what it adds to the UNet is multiplied by this */
} dg_unet_input;

/* One evaluation: out [N, out_channels, height, width]. */
DG_API dg_status dg_unet_eval(dg_model* model, const dg_unet_input* in, float* out, size_t out_count, char* msg,
                              size_t msg_cap);

/* ControlNets and the UNet speak of residuals: after the first convolution and after every resnet and downsampling on the way
 * down, then after the middle, each [rows, channels, height, width] at its level's size, one after the other. */

/* pixels [N,hint_channels,H,W] in [0,1], H and W multiples of hint_downscale -> embedding [N, model_channels, H/8, W/8]. Of a
 * T2I-Adapter: its features, block by block, [N, channels, h, w] each. It is the same in every step. */
DG_API dg_status dg_control_hint(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                                 float* embedding, size_t embedding_count, char* msg, size_t msg_cap);

typedef struct dg_control_input {
    size_t struct_size;
    int64_t batch; /* N >= 1 */
    int64_t height; /* of the latents, in cells */
    int64_t width;
    int64_t context_tokens;
    const float* sample; /* as in dg_unet_input */
    const float* timesteps;
    const float* context;
    const float* pooled;
    const float* size_ids;
    const float* hint; /* [hint_batch, model_channels, height, width]: dg_control_hint's */
    int64_t hint_batch; /* 1 or N; with kinds, kind_count */
    const float* scales; /* a factor for each residual, the middle's last */
    int64_t scale_count;
    int64_t residual_rows; /* rows that the residuals are for; N or more */
    int64_t first_row; /* the one that the first of the N is added to */
    int32_t control_type; /* Union nets: which of its kinds the hint is of; otherwise 0 */
    int32_t reserved;
    dg_residuals* on_device; /* what is added to, instead of the host's residuals; NULL: those */
    const dg_text_regions* regions; /* as in dg_unet_input; nets without cross attention read none */
    /* Union nets: several control pictures in one evaluation. Hint i is of kind kinds[i], has the weight kind_weights[i], and is the
     * same for all rows. control_type is 0 then. NULL: one */
    const int32_t* kinds;
    const float* kind_weights;
    int64_t kind_count;
} dg_control_input;

/* One evaluation. ADDS the scaled residuals to rows first_row .. first_row+N-1 of residuals, so that several nets sum. With in->on_device,
 * residuals is NULL and residual_count 0. */
DG_API dg_status dg_control_eval(dg_model* model, const dg_control_input* in, float* residuals, size_t residual_count,
                                 char* msg, size_t msg_cap);

/* Zeros for `rows` rows of latents of height x width cells, on the device of the model's UNet. The caller frees them before the model,
 * and does not use them beside a call of a model. */
DG_API dg_status dg_residuals_new(dg_model* model, int64_t rows, int64_t height, int64_t width, dg_residuals** out,
                                  char* msg, size_t msg_cap);
/* Zeros once more, for the next evaluation. */
DG_API dg_status dg_residuals_clear(dg_residuals* residuals, char* msg, size_t msg_cap);
/* May be called again. */
DG_API dg_status dg_residuals_free(dg_residuals** residuals, char* msg, size_t msg_cap);

/* pixels [N,3,size,size], normalised as the encoder's processor does -> embeds [N, projection_dim] and hidden [N, tokens, width], the
 * output of the penultimate layer. Either may be NULL, with a count of 0. */
DG_API dg_status dg_image_encode(dg_model* model, int64_t batch, const float* pixels, float* embeds,
                                 size_t embeds_count, float* hidden, size_t hidden_count, char* msg, size_t msg_cap);

typedef struct dg_ip_adapter_input {
    size_t struct_size;
    int64_t batch; /* rows */
    int64_t pictures; /* in each row; their tokens stand one behind the other */
    int64_t tokens; /* of each picture's embedding: 1, or the image encoder's */
    const float* embeds; /* [batch, pictures, tokens, embed_dim]; NULL where embed_dim is 0 */
    const float* faces; /* [batch, pictures, face_dim]; NULL where face_dim is 0 */
    double
        shortcut; /* of an adapter that takes both: 0: none, else what the part of the picture is multiplied by (v2: 1) */
} dg_ip_adapter_input;

/* Keys and values: for each row, for each cross attention, keys and then values [pictures * tokens, channels]. */
DG_API dg_status dg_ip_adapter_run(dg_model* model, const dg_ip_adapter_input* in, float* values, size_t values_count,
                                   char* msg, size_t msg_cap);

/* pixels [N,3,H,W] in [0,1] -> [N,3,scale*H,scale*W], not clamped. */
DG_API dg_status dg_upscale(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                            float* out, size_t out_count, char* msg, size_t msg_cap);

/* pixels [N,3,H,W] in [0,1] -> [N, 4*bins+classes, anchors]: the logits of the distances to the four sides, then of the classes. Anchors
 * are the cells of H/8 x W/8, then of H/16 x W/16, then of H/32 x W/32, row by row. */
DG_API dg_status dg_detect(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                           float* out, size_t out_count, char* msg, size_t msg_cap);

/* pixels [N,3,H,W] in [-1,1], H and W multiples of downscale -> moments [N, 2*latent_channels, H/8, W/8]:
 * mean, then log-variance (not clamped); the scaling factor is the caller's. */
DG_API dg_status dg_vae_encode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels,
                               float* moments, size_t moments_count, char* msg, size_t msg_cap);

/* latents [N,4,h,w], already divided by the scaling factor -> pixels [N,3,8h,8w], not clamped. */
DG_API dg_status dg_vae_decode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* latents,
                               float* pixels, size_t pixels_count, char* msg, size_t msg_cap);

/* The parts of the VAE, for pictures too large for one graph. The middle, whose attention sees the whole picture, is small
 * and runs on all of it; the levels run on tiles. What ties a tile to the rest are the group norms of the levels, in the order
 * in which they run: a tile reports its own statistics, and takes those of the whole picture. One picture at a time. */
enum {
    DG_STAGE_VAE_DECODE_MIDDLE = 16, /* latents [4, h, w] -> features [channels, h, w] */
    DG_STAGE_VAE_DECODE_LEVELS = 17, /* features [channels, h, w] -> pixels [3, 8h, 8w] */
    DG_STAGE_VAE_ENCODE_LEVELS = 18, /* pixels [3, 8h, 8w] -> features [channels, h, w] */
    DG_STAGE_VAE_ENCODE_MIDDLE = 19 /* features [channels, h, w] -> moments [8, h, w] */
};

typedef struct dg_vae_part_info {
    size_t struct_size;
    int64_t in_channels;
    int64_t out_channels;
    int64_t norms; /* group norms of the part that take and report statistics; 0 of the middles */
    int64_t groups; /* of each norm */
} dg_vae_part_info;

/* stage: one of the four above. */
DG_API dg_status dg_vae_part_get_info(dg_model* model, int32_t stage, dg_vae_part_info* out, char* msg, size_t msg_cap);

typedef struct dg_vae_part {
    size_t struct_size;
    int32_t stage;
    int32_t reserved;
    int64_t height; /* of the input: cells, or pixels that are multiples of downscale */
    int64_t width;
    const float* input; /* [in_channels, height, width] */
    const float* statistics; /* [norms, groups, 2]: mean and variance to norm by; NULL: the input's own */
    int64_t core_top; /* the part of the input to report on, in its units, on cells' borders */
    int64_t core_left;
    int64_t core_height;
    int64_t core_width;
} dg_vae_part;

/* output [out_channels, height, width] in the output's units. measured [norms, groups, 2]: mean and variance over the core of
 * what each norm was given; NULL where it is not wanted, and the core is then ignored. Counts are in floats. */
DG_API dg_status dg_vae_run_part(dg_model* model, const dg_vae_part* in, float* output, size_t output_count,
                                 float* measured, size_t measured_count, char* msg, size_t msg_cap);

/* dg_stage: a graph that dg_compute_size measures; the VAE's parts are others, reporting statistics where they can. */
enum {
    DG_STAGE_TEXT         = 0,
    DG_STAGE_TEXT_2       = 1,
    DG_STAGE_UNET         = 2,
    DG_STAGE_VAE_ENCODE   = 3,
    DG_STAGE_VAE_DECODE   = 4,
    DG_STAGE_CONTROL      = 5,
    DG_STAGE_CONTROL_HINT = 6,
    DG_STAGE_UPSCALE      = 7,
    DG_STAGE_FEATURES     = 8, /* what keeping features takes beside the buffer of DG_STAGE_UNET */
    DG_STAGE_IMAGE_ENCODE = 9, /* batch: pictures */
    DG_STAGE_IP_ADAPTER   = 10, /* batch: rows; image_tokens: of each row's embedding in all */
    DG_STAGE_DETECT       = 11
};

/* A change that an adapter makes to a module, as far as graphs depend on it. A DoRA's target is two of them: one scale, and the rest. */
typedef struct dg_lora_shape {
    size_t struct_size;
    const char* module; /* of dg_model_get_modules; NULL or another component's: passed over */
    int32_t form; /* DG_LORA_* */
    int32_t factors; /* rotations: 1: they have B */
    int64_t rank; /* of low ranks, also of the inputs */
    int64_t shape[4]; /* of A and B of a Kronecker product: a, b, c, d; of a rotation's stages: m, blocks, n, n */
} dg_lora_shape;

/* dg_residuals_at: where the UNet finds the residuals of ControlNets. */
enum { DG_RESIDUALS_NONE = 0, DG_RESIDUALS_DEVICE = 1, DG_RESIDUALS_HOST = 2 };

typedef struct dg_compute_query {
    size_t struct_size;
    int32_t stage; /* DG_STAGE_* */
    int32_t texts; /* UNet and ControlNet: how many of the batch's texts differ; 0: all */
    int64_t batch; /* chunks for the text stages */
    int64_t height; /* latent cells (UNet, ControlNet, decode) or pixels (encode, hint, upscaling, detecting) */
    int64_t width;
    int64_t context_tokens; /* UNet and ControlNet */
    int32_t keep; /* UNet and DG_STAGE_FEATURES: DG_KEEP_* */
    int32_t residuals; /* UNet: DG_RESIDUALS_* */
    int64_t branch; /* with keep: as in dg_unet_input */
    int64_t image_prompts; /* UNet: how many there are; 0: none */
    int64_t image_tokens; /* of each */
    int64_t image_masks; /* UNet: 1: they have masks */
    const dg_unet_change* change; /* UNet: as in dg_unet_input; NULL: nothing */
    int64_t
        region_count; /* UNet and ControlNet: texts of each of the last region_rows rows beside their own; 0: none */
    int64_t region_rows;
    int64_t region_sets; /* how many of these rows differ in them; 0: all */
    const dg_lora_shape* loras; /* UNet and text: of all adapters that are applied; NULL: none */
    int64_t lora_count;
    int64_t block_rows; /* UNet: as in dg_unet_input */
    int32_t
        features_use; /* with keep: DG_FEATURES_*. DG_STAGE_FEATURES: REUSE: with the second graph of a deep feature */
    int32_t
        image_rows; /* UNet: how many different rows each has: those of the halves of guidance; 0: 2, or 1 of a batch of 1 */
    int64_t kinds; /* ControlNet: kind_count of dg_control_input */
    dg_model* xs; /* UNet and DG_STAGE_FEATURES: as in dg_unet_input; its weights need not be loaded */
} dg_compute_query;

/* Exact bytes of the compute buffer the stage would allocate; allocates nothing. */
DG_API dg_status dg_compute_size(dg_model* model, const dg_compute_query* query, size_t* bytes, char* msg,
                                 size_t msg_cap);

/* How many shares of a batch the stage computes side by side, each in a buffer of its own; 1 where it is one graph. The VAE's pictures
 * are worth asking for that many together. */
DG_API dg_status dg_compute_lanes(dg_model* model, const dg_compute_query* query, int32_t* lanes, char* msg,
                                  size_t msg_cap);

/* Nodes of a graph that are computed in the same way. */
typedef struct dg_node_info {
    size_t struct_size;
    char op[DG_NAME_LEN]; /* as ggml calls it */
    /* The type of each source and of the result: "f16 f32 -> f32"; "~" marks one that is not contiguous. */
    char operands[DG_DESC_LEN];
    int32_t supported; /* 1: the stage's device has a kernel for them */
    int32_t reserved;
    int64_t count;
    int64_t largest_bytes; /* of their tensors, the sources included */
    char example[DG_DESC_LEN]; /* of one of them, in words: the result's shape and the weight that it reads */
} dg_node_info;

/* The nodes of the graph that the stage would run, in groups, without views. It allocates and computes nothing. Writes at most
 * cap groups, and their full number to *count; nodes may be NULL to count. Each one's struct_size is set by the caller. A graph
 * runs on one device: a node without a kernel there is an error of the call that would compute it. */
DG_API dg_status dg_compute_nodes(dg_model* model, const dg_compute_query* query, dg_node_info* nodes, size_t cap,
                                  size_t* count, char* msg, size_t msg_cap);

/* What was copied between host and devices by the model's computations since it was opened. A graph's inputs and outputs are
 * copied, and nothing in between. */
typedef struct dg_transfer_info {
    size_t struct_size;
    int64_t runs; /* of graphs */
    int64_t uploads;
    int64_t upload_bytes;
    int64_t downloads;
    int64_t download_bytes;
    int64_t pinned_bytes; /* host memory that is held for the copies, and that the device reads directly */
} dg_transfer_info;

DG_API dg_status dg_model_transfers(const dg_model* model, dg_transfer_info* out, char* msg, size_t msg_cap);

/* Bytes of compute buffer held now; they are kept between calls of equal shape. */
DG_API dg_status dg_compute_held(const dg_model* model, size_t* bytes, char* msg, size_t msg_cap);

/* Frees the compute buffers held; the next call allocates again. */
DG_API dg_status dg_compute_release(dg_model* model, char* msg, size_t msg_cap);

/* ---- trials ------------------------------------------------------------------------------ */

/* dg_trial_kind: the layer that a trial computes, with random weights and inputs. */
enum {
    DG_TRIAL_CONV2D    = 0, /* 3 x 3, [batch, in, height, width] -> [batch, out, height, width] */
    DG_TRIAL_ATTENTION = 1, /* in channels in heads of `out`; height queries, width keys -> [batch, height, in] */
    DG_TRIAL_LINEAR    = 2 /* height tokens -> [batch, height, out] */
};

typedef struct dg_trial {
    size_t struct_size;
    const char* device; /* id of dg_device_info */
    int32_t kind; /* DG_TRIAL_* */
    int32_t convolution; /* DG_CONV_IM2COL or DIRECT */
    int32_t flash_attention; /* DG_FLASH_OFF or ON */
    int32_t type; /* of the weights: DG_TYPE_F32, F16 or BF16 */
    int64_t batch;
    int64_t height;
    int64_t width;
    int64_t in;
    int64_t out;
    double amplitude; /* of inputs and weights; 0: 1. Values are the same on every device */
    int32_t repeats; /* runs that are timed, after one that is not; 0: none */
    int32_t threads; /* of the CPU; 0: all */
} dg_trial;

/* Computes one layer on a device, and tells the median time of a run. values, where not NULL, gets the result: count floats. A
 * layer that the device has no kernel for is DG_ERR_UNSUPPORTED, whatever another way could do. */
DG_API dg_status dg_run_trial(const dg_trial* trial, double* seconds, float* values, size_t count, char* msg,
                              size_t msg_cap);

/* ---- conversion of weights ------------------------------------------------------------- */

/* The bytes of one row of `columns` elements of a DG_TYPE. Rows of quantized types are made of whole blocks. */
DG_API dg_status dg_row_bytes(int32_t type, int64_t columns, size_t* bytes, char* msg, size_t msg_cap);

/* Converts rows x columns values to `type`, into rows * dg_row_bytes bytes. Values must be finite for quantized types.
 * May be called from several threads at once. */
DG_API dg_status dg_quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out,
                             size_t out_bytes, char* msg, size_t msg_cap);

/* The reverse: exact for what is stored. */
DG_API dg_status dg_dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns,
                               float* values, char* msg, size_t msg_cap);

/* ---- adapters ------------------------------------------------------------------------ */

/* dg_module_kind: what a module computes. */
enum { DG_MODULE_LINEAR = 0, DG_MODULE_CONV2D = 1, DG_MODULE_NORM = 2, DG_MODULE_EMBEDDING = 3 };

typedef struct dg_module_info {
    size_t struct_size;
    char name[DG_DESC_LEN]; /* canonical: "unet.mid_block.resnets.0.conv1" */
    int32_t kind; /* DG_MODULE_* */
    int32_t type; /* DG_TYPE_* of the weight in memory */
    int64_t in; /* features or channels; a norm's width; an embedding's words */
    int64_t out;
    int64_t kernel; /* side of a convolution's kernel; 0 for others */
    int32_t bias; /* 1: it adds one */
    int32_t reserved;
} dg_module_info;

/* Writes at most cap modules of the loaded components, and their full number to *count; modules may be NULL to count. Each
 * one's struct_size is set by the caller. */
DG_API dg_status dg_model_get_modules(const dg_model* model, dg_module_info* modules, size_t cap, size_t* count,
                                      char* msg, size_t msg_cap);

/* dg_lora_form: how a target's tensors make a change of a weight W, [out, in] or [out, in, k, k] as in PyTorch. */
enum {
    DG_LORA_LOW_RANK    = 0, /* scale B A: a [r, in] or [r, in, k, k], b [out, r] or [out, r, 1, 1] */
    DG_LORA_KRON        = 1, /* scale kron(A, B): a [a, b], b [c, d], out = ac, in = bd; linear and 1 x 1 only */
    DG_LORA_DENSE       = 2, /* scale A, a of the weight's shape */
    DG_LORA_IN_SCALE    = 3, /* scale W diag(A), a [in] */
    DG_LORA_OUT_SCALE   = 4, /* scale diag(A) W, a [out] */
    DG_LORA_BIAS        = 5, /* scale A to the bias, a [out] */
    DG_LORA_NORM        = 6, /* scale A to a norm's weight, a [out] */
    DG_LORA_BIAS_SCALE  = 7, /* scale diag(A) bias, a [out] */
    DG_LORA_IN_LOW_RANK = 8, /* scale W B A over the inputs: a [r, in] or [r, in, 1, 1], b [in, r] or [in, r, 1, 1] */
    DG_LORA_OUT_ROTATE  = 9, /* diag(1 + B) S(m-1) ... S(0) W - W, see below; scale is 1 */
    DG_LORA_IN_ROTATE   = 10 /* diag(1 + B) W S(0) ... S(m-1) - W; scale is 1 */
};

/* Rotations: a [m, blocks, n, n] holds m stages, b [out] or absent. A stage S(i) is I + a[i] on blocks of n features. In stage 0 a
 * block's features are neighbours; in stage i its first half and its second half are n/2 neighbours each, 2^i n/2 features apart (a
 * butterfly). Outputs have out features, inputs in x k x k. A use's weight w acts on each part of DG_LORA_OUT_ROTATE, I + w a[i] and
 * 1 + w B, and on the whole of DG_LORA_IN_ROTATE. */

typedef struct dg_lora_tensor {
    size_t struct_size;
    const void* data; /* NULL: absent */
    int32_t type; /* DG_TYPE_F32, F16 or BF16 */
    int32_t dims; /* 1 to 4 */
    int64_t shape[4]; /* slowest first */
} dg_lora_tensor;

typedef struct dg_lora_target {
    size_t struct_size;
    const char* module; /* of dg_model_get_modules */
    int32_t form; /* DG_LORA_* */
    int32_t magnitude_axis; /* 0: one magnitude per output, 1: per input */
    double scale;
    dg_lora_tensor a;
    dg_lora_tensor b;
    dg_lora_tensor magnitude; /* of a DoRA: the change is m W'/||W'|| - W with W' = W + dW, fixed when loaded */
} dg_lora_target;

/* Checks and copies an adapter's targets; the base weights that a DoRA needs are read from the model's files. The adapter
 * belongs to the model: it is freed before the model is closed. */
DG_API dg_status dg_lora_load(dg_model* model, const dg_lora_target* targets, int64_t count, dg_lora** out, char* msg,
                              size_t msg_cap);

/* Bytes that the adapter holds. What its use in a stack takes beside it is freed with it. */
DG_API dg_status dg_lora_bytes(const dg_lora* lora, int64_t* bytes, char* msg, size_t msg_cap);

/* Frees the adapter and sets *lora to NULL; freeing NULL is allowed. */
DG_API dg_status dg_lora_free(dg_lora** lora, char* msg, size_t msg_cap);

/* w += weight x the target's change, for a weight (bias, norm's weight) of the given shape in PyTorch's order. Needs no
 * model; safe for concurrent use. */
DG_API dg_status dg_lora_merge(const dg_lora_target* target, double weight, float* w, int32_t dims,
                               const int64_t* shape, char* msg, size_t msg_cap);

/* How many graphs and adapter stacks the model has built so far: equal calls, and calls that differ in adapters' weights only,
 * build none. */
DG_API dg_status dg_model_builds(const dg_model* model, int64_t* graphs, int64_t* stacks, char* msg, size_t msg_cap);

/* ---- profiling ----------------------------------------------------------------------- */

typedef struct dg_profile_entry {
    size_t struct_size;
    char stage[DG_NAME_LEN]; /* "text_encoder", "unet", "vae_decode", ... */
    char op[DG_NAME_LEN]; /* as ggml calls it, or one of our kernels: "conv2d_bf16" */
    char module[DG_DESC_LEN]; /* the module whose weights were read last: "down_blocks.1.attentions.0.proj_in" */
    int64_t calls;
    double seconds;
    double operations; /* multiplications and additions of products and attention; 0 for the rest */
} dg_profile_entry;

/* While it is on, graphs are computed node by node, and cannot be cancelled inside; what was measured adds up. Turning it
 * on or off forgets it. */
DG_API dg_status dg_model_set_profile(dg_model* model, int32_t enabled, char* msg, size_t msg_cap);

/* Writes at most cap entries, and their full number to *count; entries may be NULL to count. Each entry's struct_size is
 * set by the caller. */
DG_API dg_status dg_model_get_profile(const dg_model* model, dg_profile_entry* entries, size_t cap, size_t* count,
                                      char* msg, size_t msg_cap);

#ifdef __cplusplus
}
#endif
#endif /* DAGUERRE_H */
