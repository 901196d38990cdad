package bindings

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/ebitengine/purego"
)

// pictureFunc is a function that makes one picture-like tensor of another.
type pictureFunc = func(model uintptr, batch, height, width int64, in, out *float32, count uintptr, msg *byte, msgCap uintptr) int32

// oneOutput is a function that computes a tensor.
type oneOutput[T any] = func(model uintptr, in *T, out *float32, count uintptr, msg *byte, msgCap uintptr) int32

// twoOutputs is a function that computes two tensors, the second if it is wanted.
type twoOutputs[T any] = func(model uintptr, in *T, out *float32, outCount uintptr, more *float32, moreCount uintptr,
	msg *byte, msgCap uintptr) int32

// tableFuncs holds one variable for every function of daguerre.h. Its C name follows from the variable's: vaeEncode calls
// dg_vae_encode. The first variables are those that judge a library. The handles dg_model*, dg_lora* and dg_residuals* are numbers here:
// they are C memory, which Go neither moves nor looks at.
type tableFuncs struct {
	// DG_API int32_t dg_abi_version(void);
	abiVersion func() int32
	// DG_API dg_status dg_get_build_info(dg_build_info* out, char* msg, size_t msg_cap);
	getBuildInfo func(out *BuildInfo, msg *byte, msgCap uintptr) int32
	// DG_API int64_t dg_live_handles(void);
	liveHandles func() int64
	// DG_API dg_status dg_set_log(dg_log_callback callback, int64_t user, int32_t min_level, char* msg, size_t msg_cap);
	setLog func(callback uintptr, user int64, minLevel int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_device_count(int32_t* count, char* msg, size_t msg_cap);
	deviceCount func(count *int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_get_device(int32_t index, dg_device_info* out, char* msg, size_t msg_cap);
	getDevice func(index int32, out *deviceInfo, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_open(const dg_model_params* params, dg_model** out, char* msg, size_t msg_cap);
	modelOpen func(params *modelParams, out *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_close(dg_model** model, char* msg, size_t msg_cap);
	modelClose func(model *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_get_model_info(const dg_model* model, dg_model_info* out, char* msg, size_t msg_cap);
	getModelInfo func(model uintptr, out *ModelInfo, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_set_cancel(dg_model* model, int32_t cancelled, char* msg, size_t msg_cap);
	modelSetCancel func(model uintptr, cancelled int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_set_wrap(dg_model* model, int32_t axes, char* msg, size_t msg_cap);
	modelSetWrap func(model uintptr, axes int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_tokenize(const char* text, size_t text_len, int32_t* ids, size_t cap, size_t* count, char* msg, size_t msg_cap);
	tokenize func(text *byte, textLen uintptr, ids *int32, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_text_encode(dg_model* model, const dg_text_input* in, float* hidden, size_t hidden_count, float* pooled,
	// size_t pooled_count, char* msg, size_t msg_cap);
	textEncode twoOutputs[TextInput]
	// DG_API dg_status dg_features_new(dg_model* model, dg_features** out, char* msg, size_t msg_cap);
	featuresNew func(model uintptr, out *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_features_free(dg_features** features, char* msg, size_t msg_cap);
	featuresFree func(features *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_unet_eval(dg_model* model, const dg_unet_input* in, float* out, size_t out_count, char* msg, size_t msg_cap);
	unetEval oneOutput[UNetInput]
	// DG_API dg_status dg_vae_encode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float*
	// moments, size_t moments_count, char* msg, size_t msg_cap);
	vaeEncode pictureFunc
	// DG_API dg_status dg_vae_decode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* latents, float*
	// pixels, size_t pixels_count, char* msg, size_t msg_cap);
	vaeDecode pictureFunc
	// DG_API dg_status dg_vae_part_get_info(dg_model* model, int32_t stage, dg_vae_part_info* out, char* msg, size_t msg_cap);
	vaePartGetInfo func(model uintptr, stage int32, out *VAEPartInfo, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_vae_run_part(dg_model* model, const dg_vae_part* in, float* output, size_t output_count, float* measured,
	// size_t measured_count, char* msg, size_t msg_cap);
	vaeRunPart twoOutputs[VAEPart]
	// DG_API dg_status dg_control_hint(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float*
	// embedding, size_t embedding_count, char* msg, size_t msg_cap);
	controlHint pictureFunc
	// DG_API dg_status dg_control_eval(dg_model* model, const dg_control_input* in, float* residuals, size_t residual_count, char*
	// msg, size_t msg_cap);
	controlEval oneOutput[ControlInput]
	// DG_API dg_status dg_residuals_new(dg_model* model, int64_t rows, int64_t height, int64_t width, dg_residuals** out, char* msg,
	// size_t msg_cap);
	residualsNew func(model uintptr, rows, height, width int64, out *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_residuals_clear(dg_residuals* residuals, char* msg, size_t msg_cap);
	residualsClear func(residuals uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_residuals_free(dg_residuals** residuals, char* msg, size_t msg_cap);
	residualsFree func(residuals *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_image_encode(dg_model* model, int64_t batch, const float* pixels, float* embeds, size_t embeds_count, float*
	// hidden, size_t hidden_count, char* msg, size_t msg_cap);
	imageEncode func(model uintptr, batch int64, pixels, embeds *float32, embedsCount uintptr, hidden *float32, hiddenCount uintptr,
		msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_ip_adapter_run(dg_model* model, const dg_ip_adapter_input* in, float* values, size_t values_count, char* msg,
	// size_t msg_cap);
	ipAdapterRun oneOutput[IPAdapterInput]
	// DG_API dg_status dg_upscale(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
	// size_t out_count, char* msg, size_t msg_cap);
	upscale pictureFunc
	// DG_API dg_status dg_detect(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out,
	// size_t out_count, char* msg, size_t msg_cap);
	detect pictureFunc
	// DG_API dg_status dg_compute_size(dg_model* model, const dg_compute_query* query, size_t* bytes, char* msg, size_t msg_cap);
	computeSize func(model uintptr, query *ComputeQuery, bytes *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_compute_lanes(dg_model* model, const dg_compute_query* query, int32_t* lanes, char* msg, size_t msg_cap);
	computeLanes func(model uintptr, query *ComputeQuery, lanes *int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_compute_nodes(dg_model* model, const dg_compute_query* query, dg_node_info* nodes, size_t cap, size_t* count,
	// char* msg, size_t msg_cap);
	computeNodes func(model uintptr, query *ComputeQuery, nodes *nodeInfo, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_transfers(const dg_model* model, dg_transfer_info* out, char* msg, size_t msg_cap);
	modelTransfers func(model uintptr, out *transferInfo, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_run_trial(const dg_trial* trial, double* seconds, float* values, size_t count, char* msg, size_t msg_cap);
	runTrial func(trial *Trial, seconds *float64, values *float32, count uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_compute_held(const dg_model* model, size_t* bytes, char* msg, size_t msg_cap);
	computeHeld func(model uintptr, bytes *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_compute_release(dg_model* model, char* msg, size_t msg_cap);
	computeRelease func(model uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_load(dg_model* model, int32_t components, char* msg, size_t msg_cap);
	modelLoad func(model uintptr, components int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_unload(dg_model* model, int32_t components, char* msg, size_t msg_cap);
	modelUnload func(model uintptr, components int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_memory(const dg_model* model, dg_memory_info* out, char* msg, size_t msg_cap);
	modelMemory func(model uintptr, out *memoryInfo, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_memory_reset(dg_model* model, char* msg, size_t msg_cap);
	modelMemoryReset func(model uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_test_fail_allocations(int64_t seed, double probability, int64_t after, int64_t* allocations, char* msg,
	// size_t msg_cap);
	testFailAllocations func(seed int64, probability float64, after int64, allocations *int64, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_row_bytes(int32_t type, int64_t columns, size_t* bytes, char* msg, size_t msg_cap);
	rowBytes func(typ int32, columns int64, bytes *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_quantize(int32_t type, const float* values, int64_t rows, int64_t columns, uint8_t* out, size_t out_bytes,
	// char* msg, size_t msg_cap);
	quantize func(typ int32, values *float32, rows, columns int64, out *byte, outBytes uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_dequantize(int32_t type, const uint8_t* data, size_t data_bytes, int64_t rows, int64_t columns, float*
	// values, char* msg, size_t msg_cap);
	dequantize func(typ int32, data *byte, dataBytes uintptr, rows, columns int64, values *float32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_set_profile(dg_model* model, int32_t enabled, char* msg, size_t msg_cap);
	modelSetProfile func(model uintptr, enabled int32, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_get_profile(const dg_model* model, dg_profile_entry* entries, size_t cap, size_t* count, char* msg,
	// size_t msg_cap);
	modelGetProfile func(model uintptr, entries *profileEntry, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_get_modules(const dg_model* model, dg_module_info* modules, size_t cap, size_t* count, char* msg,
	// size_t msg_cap);
	modelGetModules func(model uintptr, modules *moduleInfo, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_lora_load(dg_model* model, const dg_lora_target* targets, int64_t count, dg_lora** out, char* msg, size_t
	// msg_cap);
	loraLoad func(model uintptr, targets *LoRATarget, count int64, out *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_lora_bytes(const dg_lora* lora, int64_t* bytes, char* msg, size_t msg_cap);
	loraBytes func(lora uintptr, bytes *int64, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_lora_free(dg_lora** lora, char* msg, size_t msg_cap);
	loraFree func(lora *uintptr, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_lora_merge(const dg_lora_target* target, double weight, float* w, int32_t dims, const int64_t* shape, char*
	// msg, size_t msg_cap);
	loraMerge func(target *LoRATarget, weight float64, w *float32, dims int32, shape *int64, msg *byte, msgCap uintptr) int32
	// DG_API dg_status dg_model_builds(const dg_model* model, int64_t* graphs, int64_t* stacks, char* msg, size_t msg_cap);
	modelBuilds func(model uintptr, graphs, stacks *int64, msg *byte, msgCap uintptr) int32
}

// bootFuncs is how many of the functions may be called before a library is judged.
const bootFuncs = 2

// symbol ties a C name to the Go function variable that calls it.
type symbol struct {
	name string
	fptr any // *func(...) ...
}

// symbols lists every function.
func (t *tableFuncs) symbols() []symbol {
	v := reflect.ValueOf(t).Elem()
	all := make([]symbol, v.NumField())
	for i := range all {
		var name strings.Builder
		name.WriteString("dg_")
		for _, r := range v.Type().Field(i).Name {
			if unicode.IsUpper(r) {
				name.WriteByte('_')
			}
			name.WriteRune(unicode.ToLower(r))
		}
		all[i] = symbol{name.String(), reflect.NewAt(v.Field(i).Type(), v.Field(i).Addr().UnsafePointer()).Interface()}
	}
	return all
}

// bind looks every symbol up before it is registered, so that a missing one is an error that names
// it and the library, where purego's own helper would panic.
func bind(handle uintptr, path string, symbols []symbol) error {
	for _, s := range symbols {
		address, err := dlsym(handle, s.name)
		if err != nil || address == 0 {
			return &symbolError{symbol: s.name, library: path, err: err}
		}
		purego.RegisterFunc(s.fptr, address)
	}
	return nil
}

// symbolError is a function that a library should export and does not.
type symbolError struct {
	symbol  string // the C name
	library string // path of the library
	err     error  // what the dynamic linker said; may be nil
}

// Error names the symbol, the library and the remedy.
func (e *symbolError) Error() string {
	return fmt.Sprintf("%s has no symbol %s: it is not libdaguerre, or of another version; rebuild it with `make`", e.library, e.symbol)
}

// Unwrap returns the dynamic linker's error.
func (e *symbolError) Unwrap() error { return e.err }
