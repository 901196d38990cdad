package request

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// picture is the beginning of a PNG file, long enough to be taken for one.
var pngBytes = []byte("\x89PNG\r\n\x1a\n" + strings.Repeat("pixels", 20))

var pngBase64 = base64.StdEncoding.EncodeToString(pngBytes)

// equalRequests holds spellings of one request; all are to become the same.
var equalRequests = [][]string{
	{
		`{"prompt":"x","num_inference_steps":20,"guidance_scale":7.5,"scheduler":"DPM++ 2M","sigmas":"karras","num_images":6,
		  "max_batch":3,"seed":5,"width":64,"height":128}`,
		`{"prompt":"x","numInferenceSteps":20,"guidanceScale":7.5,"scheduler":"DPM++ 2M","sigmas":"karras","numImages":6,"maxBatch":3,
		  "seed":5,"width":64,"height":128}`,
		`{"Prompt":"x","NumInferenceSteps":20,"GuidanceScale":7.5,"Scheduler":"DPM++ 2M","Sigmas":"karras","NumImages":6,"MaxBatch":3,
		  "Seed":5,"Width":64,"Height":128}`,
		`{"prompt":"x","num_inference_steps":20,"guidance_scale":7.5,"scheduler":"DPM++ 2M","sigmas":"karras","num_images_per_prompt":6,
		  "max_batch":3,"seed":5,"width":64,"height":128}`,
		`{"prompt":"x","steps":20,"cfg_scale":7.5,"sampler_name":"DPM++ 2M","scheduler":"karras","n_iter":2,"batch_size":3,"seed":5,
		  "width":64,"height":128}`,
		`{"prompt":"x","steps":20,"cfgScale":7.5,"samplerName":"DPM++ 2M","scheduler":"karras","nIter":2,"batchSize":3,"seed":5,
		  "width":64,"height":128}`,
		`{"prompt":"x","steps":20,"cfg_scale":7.5,"sampler_index":"Euler","sampler_name":"DPM++ 2M","scheduler":"karras","n_iter":2,
		  "batch_size":3,"seed":5,"width":64,"height":128,
		  "denoising_strength":0.7,"restore_faces":false,"tiling":false,"styles":[],"subseed":-1,"subseed_strength":0,
		  "seed_resize_from_h":-1,"s_churn":null,"eta":null,
		  "script_name":"","script_args":[],"override_settings":{},"alwayson_scripts":{},"send_images":true,"save_images":false,
		  "negative_prompt":null}`,
	},
	{
		`{"init_image":"data:image/png;base64,` + pngBase64 + `","mask_image":"m.png","strength":0.75}`,
		`{"init_images":["` + pngBase64 + `"],"mask":"m.png","denoising_strength":0.75}`,
		`{"InitImages":["data:image/png;base64,` + pngBase64 + `"],"Mask":"m.png","DenoisingStrength":0.75}`,
		`{"image":"` + pngBase64 + `","mask_image":"m.png","strength":0.75}`,
	},
	{
		`{"model":{"model":"base.safetensors","refiner":"r.safetensors","vae":"v.safetensors"},"refiner_start":0.7}`,
		`{"override_settings":{"sd_model_checkpoint":"base.safetensors","sd_vae":"v.safetensors"},"refiner_checkpoint":"r.safetensors",
		  "refiner_switch_at":0.7}`,
		`{"pretrained_model_name_or_path":"base.safetensors","model":{"refiner":"r.safetensors","vae":"v.safetensors"},
		  "high_noise_frac":0.7}`,
		`{"Model":{"Model":"base.safetensors","Refiner":"r.safetensors","Vae":"v.safetensors"},"RefinerStart":0.7}`,
	},
	{
		`{"controlnet":[{"model":"canny","image":"data:;base64,` + pngBase64 + `","weight":0.5,"end":0.8,"control_mode":"prompt",
		  "resize_mode":"pad","preprocessor":"canny",
		  "preprocessor_options":{"low_threshold":100,"high_threshold":200}}]}`,
		`{"controlnets":[{"model":"canny","controlImage":"` + pngBase64 + `","controlnetConditioningScale":0.5,"controlGuidanceEnd":0.8,
		  "controlMode":"prompt","resizeMode":"pad",
		  "preprocessor":"canny","preprocessorOptions":{"lowThreshold":100,"highThreshold":200}}]}`,
		`{"alwayson_scripts":{"ControlNet":{"args":[{"enabled":false,"model":"other"},{"enabled":true,"module":"canny",
		  "model":"canny [d14c016b]","weight":0.5,"image":{"image":"` + pngBase64 + `","mask":null},
		  "resize_mode":"Resize and Fill","control_mode":"My prompt is more important","guidance_end":0.8,"threshold_a":100,
		  "threshold_b":200,"pixel_perfect":true,"processor_res":512,"lowvram":false}]}}}`,
		`{"alwayson_scripts":{"controlnet":{"args":[{"module":"canny","model":"canny","weight":0.5,"input_image":"` + pngBase64 + `",
		  "resize_mode":2,"control_mode":1,"guidance_end":0.8,"threshold_a":100,"threshold_b":200}]}}}`,
	},
	{
		`{"lora":[{"name":"a","unet_weight":0.5,"text_encoder_weight":0.25,"block_weights":{"IN00":1}}],
		  "lora_stack":{"global_weight":0.5},"scheduler_options":{"use_karras_sigmas":true,"eta":0.5,"s_churn":2}}`,
		`{"loras":[{"lora_name":"a","strength_model":0.5,"strength_clip":0.25,"block_weights":{"IN00":1}}],
		  "cross_attention_kwargs":{"scale":0.5},"scheduler_options":{"use_karras_sigmas":true},"eta":0.5,"s_churn":2}`,
		`{"LoRA":[{"AdapterName":"a","UnetWeight":0.5,"TextEncoderWeight":0.25,"BlockWeights":{"IN00":1}}],
		  "LoraStack":{"GlobalWeight":0.5},"SchedulerOptions":{"UseKarrasSigmas":true,"Eta":0.5},"SChurn":2}`,
	},
	{
		`{"prompt":"x","hires":{"scale":2,"upscaler":"latent_nearest","strength":0.4,"steps":25}}`,
		`{"prompt":"x","hires":{"strength":0.4},"hr_scale":2,"hr_upscaler":"Latent (nearest-exact)","hr_second_pass_steps":10}`,
		`{"prompt":"x","enable_hr":true,"hr_scale":2,"hr_upscaler":"Latent (nearest)","denoising_strength":0.4,"hr_second_pass_steps":10,
		  "hr_resize_x":0,"hr_resize_y":0,"hr_prompt":"","hr_sampler_name":null}`,
		`{"Prompt":"x","HrScale":2,"HrUpscaler":"latent_nearest","DenoisingStrength":0.4,"HrSecondPassSteps":10}`,
	},
	{
		`{"prompt":"x","hires":{"scale":2,"strength":0.4,"steps":25}}`,
		`{"prompt":"x","hires":{"scale":2,"strength":0.4},"hr_second_pass_steps":10}`,
	},
	{
		`{"prompt":"x","num_inference_steps":30,"hires":{"scale":2,"strength":0.5,"steps":60}}`,
		`{"prompt":"x","steps":30,"enable_hr":true,"hr_scale":2,"denoising_strength":0.5}`,
		`{"prompt":"x","steps":30,"enable_hr":true,"hr_scale":2,"denoising_strength":0.5,"hr_second_pass_steps":0}`,
	},
	{
		`{"init_image":"p.png","mask_image":"m.png","inpaint":{"blur":4,"invert":true,"only_masked":true,"padding":16,"fill":"latent_noise"}}`,
		`{"init_images":["p.png"],"mask":"m.png","mask_blur":4,"inpainting_mask_invert":1,"inpaint_full_res":true,
		  "inpaint_full_res_padding":16,"inpainting_fill":2}`,
		`{"init_images":["p.png"],"mask":"m.png","mask_blur":4,"mask_blur_x":9,"mask_blur_y":7,"inpainting_mask_invert":true,
		  "inpaint_full_res":1,"inpaint_full_res_padding":16,"inpainting_fill":"latent noise"}`,
		`{"init_images":["p.png"],"mask":"m.png","mask_blur":null,"mask_blur_x":4,"mask_blur_y":4,"inpainting_mask_invert":1,
		  "inpaint_full_res":true,"inpaint_full_res_padding":16,"inpainting_fill":2}`,
		`{"image":"p.png","mask_image":"m.png","padding_mask_crop":16,"inpaint":{"blur":4,"invert":true,"fill":"latent_noise"}}`,
		`{"InitImages":["p.png"],"Mask":"m.png","MaskBlur":4,"InpaintingMaskInvert":1,"PaddingMaskCrop":16,"InpaintingFill":2}`,
	},
	{
		`{"init_image":"p.png","mask_image":"m.png"}`,
		`{"image":"p.png","mask_image":"m.png","padding_mask_crop":null,"inpaint_full_res":0,"inpaint_full_res_padding":32,"mask_blur":null}`,
	},
	{
		`{"prompt":"x","scheduler":"DDIM CFG++","guidance_scale":0.56}`,
		`{"prompt":"x","sampler_name":"DDIM CFG++","cfg_scale":7}`,
		`{"prompt":"x","sampler_index":"DDIM CFG++","cfg_scale":7.0}`,
	},
	{
		`{"prompt":"x","guidance":{"method":"apg","momentum":-0.5,"norm_threshold":2.5}}`,
		`{"prompt":"x","adaptive_projected_guidance_momentum":-0.5,"adaptive_projected_guidance_rescale":2.5,"guidance":{"method":"apg"}}`,
		`{"Prompt":"x","Guidance":{"Method":"apg","Momentum":-0.5,"NormThreshold":2.5}}`,
	},
	{
		`{"prompt":"x","guidance":{"method":"cfg_zero_star","zero_init_steps":2}}`,
		`{"prompt":"x","zero_init_steps":2,"guidance":{"method":"cfg_zero_star"}}`,
	},
	{
		`{"ip_adapter":[{"model":"ip-adapter_sdxl","images":"i.png","weight":0.6,"start":0.1,"end":0.8,"masks":"r.png"},
		  {"model":"ip-adapter-plus_sdxl_vit-h","images":"j.png"}],"controlnet":[{"model":"c","image":"p.png"}]}`,
		`{"alwayson_scripts":{"controlnet":{"args":[
		  {"module":"ip-adapter_clip_g","model":"ip-adapter_sdxl [11e10ad5]","image":"i.png","weight":0.6,"guidance_start":0.1,"guidance_end":0.8,
		   "effective_region_mask":"r.png","control_mode":"Balanced","resize_mode":"Crop and Resize","processor_res":512,"threshold_a":0.5,
		   "threshold_b":0.5,"pixel_perfect":true,"hr_option":"Both"},
		  {"model":"c","image":"p.png"},
		  {"module":"None","model":"ip-adapter-plus_sdxl_vit-h","input_image":"j.png","control_mode":0,"resize_mode":1},
		  {"enabled":false,"module":"ip-adapter-auto"}]}}}`,
	},
	{
		`{"prompt":"x","seamless":"both"}`,
		`{"prompt":"x","tiling":true}`,
	},
	{
		`{"prompt":"x"}`,
		`{"prompt":"x","enable_hr":false,"hr_scale":2,"hr_upscaler":"Latent","hr_prompt":"y","denoising_strength":0.4,
		  "hr_second_pass_steps":10}`,
	},
	{
		`{"model":{"model":"nano","precision":"bf16"},"jobs":[{"prompt":"a","guidance_scale":3},{"prompt":"b"}],"num_inference_steps":4}`,
		`{"model":{"pretrained_model_name_or_path":"nano","torch_dtype":"torch.bfloat16"},"job":[{"prompt":"a",
		  "cfg_scale":3},{"prompt":"b"}],"steps":4}`,
		`{"Model":{"Model":"nano","TorchDtype":"bfloat16"},"Jobs":[{"Prompt":"a","CfgScale":3},{"Prompt":"b"}],"Steps":4}`,
	},
}

func TestNamesBecomeTheSameRequest(t *testing.T) {
	for _, group := range equalRequests {
		want, err := DecodeJSON([]byte(group[0]))
		require.NoError(t, err)
		for _, text := range group[1:] {
			run, err := DecodeJSON([]byte(text))
			require.NoError(t, err, text)
			assert.Equal(t, want.Jobs, run.Jobs, text)
			assert.Equal(t, want.Model, run.Model, text)
		}
	}
}

// TestEveryName gives each name of the table by itself, in each casing, and looks for the key it stands for.
func TestEveryName(t *testing.T) {
	keys := map[string]string{}
	for _, k := range Keys() {
		keys[join(k.Table, fold(k.Name))] = k.Type
	}
	for _, n := range Names() {
		_, isKey := keys[join(n.Table, fold(n.Name))]
		assert.False(t, isKey, "%s is a key of its own", n.Name)
		if n.Key == "" {
			continue
		}
		path := join(n.Table, n.Key)
		if strings.HasPrefix(n.Key, "model.") {
			path = n.Key
		}
		kind, ok := keys[foldLast(path)]
		if outer, _, within := strings.Cut(n.Key, "."); within && outer == "scheduler_options" {
			ok, kind = true, "number"
		}
		require.True(t, ok, "%s stands for %s, which is no key", n.Name, path)
		value := map[string]string{"string": `"f32"`, "path": `"f32"`, "integer": "3", "number": "0.5", "list of strings": `["mid"]`}[kind]
		switch n.Name {
		case "guess_mode", "tiling", "inpaint_full_res", "inpainting_mask_invert":
			value = "true"
		case "inpainting_fill":
			value = "2"
		case "hr_upscaler":
			value = `"latent"`
		case "hr_scale":
			value = "2"
		case "input_image", "effective_region_mask":
			value = `"p.png"`
		}
		for _, c := range Casings {
			text := fmt.Sprintf(`{"%s":%s}`, c.Key(n.Name), value)
			if n.Name == "denoising_strength" {
				text = fmt.Sprintf(`{"%s":%s,"init_image":"x"}`, c.Key(n.Name), value)
			}
			switch {
			case n.Name == "mask_blur_x" || n.Name == "mask_blur_y": // which needs the other, unless it is the default of it
				text = fmt.Sprintf(`{"%s":4,"mask_image":"m"}`, c.Key(n.Name))
			case n.Name == "inpaint_full_res_padding":
				text = fmt.Sprintf(`{"%s":%s,"inpaint_full_res":true,"mask_image":"m"}`, c.Key(n.Name), value)
			case strings.HasPrefix(n.Name, "pag_") || strings.HasPrefix(n.Name, "seg_"): // which mean nothing without a scale
				table, _, _ := strings.Cut(n.Key, ".")
				if n.Key != table+".scale" {
					text = fmt.Sprintf(`{"%s":%s,"%s":{"scale":3}}`, c.Key(n.Name), value, table)
				}
			case n.Needs == "mask":
				text = fmt.Sprintf(`{"%s":%s,"mask_image":"m"}`, c.Key(n.Name), value)
			}
			switch n.Table {
			case "lora", "controlnet", "ip_adapter":
				text = fmt.Sprintf(`{"%s":[%s]}`, n.Table, text)
			case "model":
				text = fmt.Sprintf(`{"model":%s}`, text)
			}
			run, err := DecodeJSON([]byte(text))
			require.NoError(t, err, text)
			encoded, err := run.EncodeJSON(SnakeCase)
			require.NoError(t, err)
			last := n.Key[strings.LastIndexByte(n.Key, '.')+1:]
			assert.Contains(t, string(encoded), `"`+last+`"`, "%s from %s: %s", last, text, encoded)
		}
	}
}

func foldLast(path string) string {
	i := strings.LastIndexByte(path, '.') + 1
	return path[:i] + fold(path[i:])
}

func TestErrorsAreSpelledAsWritten(t *testing.T) {
	for text, want := range map[string][]string{
		`{"cfgScale":-1,"controlNets":[{"model":"a","image":"b"},{"weight":99}],"Steps":1.5}`: {"Steps: is 1.5; expected an integer"},
		`{"cfgScale":-1,"model":"nano","controlNets":[{"model":"a","image":"b"},{"weight":99,"image":"x","model":"m"}],"samplerName":"x",
		  "scheduler":"y"}`: {
			"cfgScale: is -1; it must be a number between 0 and 1000",
			"controlNets[1].weight: is 99; it must be a number between -10 and 10"},
		`{"Model":{"Threads":-1},
		  "Jobs":[{"Width":9},{"LoRA":[{"Start":2}]}]}`: {"Model.Model: is missing", "Model.Threads: is -1", "Jobs[0].Width: is 9",
			"Jobs[1].LoRA[0].Name: is missing", "Jobs[1].LoRA[0].Start: is 2"},
		`{"model":"nano","alwayson_scripts":{"controlnet":{"args":[{"enabled":false},{"model":"m","image":"i","weight":99}]}}}`: {
			"alwayson_scripts.controlnet.args[1].weight: is 99"},
		`{"guidanceScael":1}`:                     {`guidanceScael: unknown key; did you mean "guidanceScale"?`},
		`{"cfg_scale":1,"guidance_scale":2}`:      {"is given twice, also as"},
		`{"eta":1,"scheduler_options":{"eta":2}}`: {"eta: is given twice, also as scheduler_options.eta"},
		`{"restore_faces":true}`:                  {"restore_faces: is true; this is not offered"},
		`{"subseed_strength":0.5,
		  "script_name":"x/y plot"}`: {"script_name: is the string", "subseed_strength: is 0.5"},
		`{"alwayson_scripts":{"controlnet":{"args":[{"module":"ip-adapter_face_id_plus","model":"ip-adapter-faceid-plusv2_sdxl","image":"i"},
		  {"module":"ip-adapter-auto","model":"a","image":"i","control_mode":1}]}}}`: {
			"alwayson_scripts.controlnet.args[0].module: is \"ip-adapter_face_id_plus\", which finds faces",
			"alwayson_scripts.controlnet.args[1].control_mode: is the string \"prompt\"; this is not offered: an IP-Adapter has no control modes"},
		`{"alwayson_scripts":{"ADetailer":{"args":[1]},
		  "controlnet":{"args":3}}}`: {"alwayson_scripts.ADetailer: is not offered",
			"alwayson_scripts.controlnet: has no args"},
		`{"alwayson_scripts":{"controlnet":{"args":[3]}}}`: {"alwayson_scripts.controlnet.args[0]: is 3"},
		`{"override_settings":{"eta_noise_seed_delta":31337},
		  "cross_attention_kwargs":{"x":1}}`: {"cross_attention_kwargs.x: is not offered",
			"override_settings.eta_noise_seed_delta: is not offered"},
		`{"override_settings":3}`:             {"override_settings: is 3; expected a table"},
		`{"init_images":["a.png","b.png"]}`:   {"init_images: has 2 pictures"},
		`{"init_image":"data:image/png,abc"}`: {"init_image: is a data URL without base64"},
		`{"init_image":"data:;base64,@@@"}`:   {"init_image: is no base64"},
		`{"init_image":"data:;base64,"}`:      {"init_image: is a data URL of nothing"},
	} {
		run, err := DecodeJSON([]byte(text))
		if err == nil {
			for i := range run.Jobs {
				run.Jobs[i].Prompt = NoPrompt
			}
			err = run.Validate()
		}
		var errs Errors
		require.True(t, errors.As(err, &errs), text)
		for i, w := range want {
			if assert.Greater(t, len(errs), i, "%s\n%v", text, errs) {
				assert.Contains(t, errs[i].Error(), w, text)
			}
		}
	}
}

func TestNotesAndNulls(t *testing.T) {
	run, err := DecodeJSON(
		[]byte(`{"model":null,"jobs":null,"prompt":"x","width":null,"lora":null,"override_settings":{"CLIP_stop_at_last_layers":2}}`),
	)
	require.NoError(t, err)
	assert.Equal(t, []Request{{Prompt: "x", Seed: RandomSeed}}, run.Jobs)
	require.Len(t, run.Notes, 1)
	assert.Contains(t, run.Notes[0], "CLIP_stop_at_last_layers is left out")
	require.NoError(t, run.ValidateJobs())
	require.Error(t, run.Validate())
}

// TestA1111Payload takes what the web UI's own API documents as a whole request.
func TestA1111Payload(t *testing.T) {
	var table map[string]any
	d := json.NewDecoder(
		strings.NewReader(
			`{"prompt":"","negative_prompt":"","styles":["string"],"seed":-1,"subseed":-1,"subseed_strength":0,"seed_resize_from_h":-1,
	"seed_resize_from_w":-1,"sampler_name":"Euler a","scheduler":"Automatic","batch_size":1,"n_iter":1,"steps":50,"cfg_scale":7,
		  "width":512,"height":512,"restore_faces":false,"tiling":false,
	"do_not_save_samples":false,"do_not_save_grid":false,"eta":0,"denoising_strength":0,"s_min_uncond":0,"s_churn":0,"s_tmax":0,
		  "s_tmin":0,"s_noise":0,"override_settings":{},
	"override_settings_restore_afterwards":true,"disable_extra_networks":false,"firstphase_width":0,"firstphase_height":0,
		  "sampler_index":"Euler","script_args":[],"send_images":true,
	"save_images":false,"alwayson_scripts":{},"comments":{},"force_task_id":null}`,
		),
	)
	d.UseNumber()
	require.NoError(t, d.Decode(&table))
	run, err := Decode(table)
	require.NoError(t, err)
	assert.Equal(t, []string{"string"}, run.Jobs[0].Styles)
	table["styles"] = []any{}
	run, err = Decode(table)
	require.NoError(t, err)
	assert.Equal(
		t,
		[]Request{
			{
				Prompt:            NoPrompt,
				Seed:              -1,
				Scheduler:         "Euler a",
				Sigmas:            "Automatic",
				MaxBatch:          1,
				NumImages:         1,
				NumInferenceSteps: 50,
				GuidanceScale:     7,
				Width:             512,
				Height:            512,
				SchedulerOptions:  map[string]any{"eta": int64(0), "s_noise": int64(0)},
			},
		},
		run.Jobs,
	)
}

// TestScheduleOf: A1111's second pass makes exactly the steps it is told, ours a part of the schedule.
func TestScheduleOf(t *testing.T) {
	for strength := 0.01; strength <= 1; strength += 0.01 {
		for steps := range int64(60) {
			n := scheduleOf(steps+1, strength)
			assert.Equal(t, steps+1, int64(float64(n)*strength), "%d at %v", n, strength)
		}
	}
}
