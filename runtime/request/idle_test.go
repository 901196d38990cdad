package request

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// a1111Defaults are the values that A1111's API documents for txt2img and img2img (1.10), as programs send them that fill in everything.
const a1111Defaults = `"styles":[],"seed":-1,"subseed":-1,"subseed_strength":0,"seed_resize_from_h":-1,"seed_resize_from_w":-1,
	"sampler_name":"Euler","scheduler":"Automatic","batch_size":1,"n_iter":1,"steps":20,"cfg_scale":7.0,"width":64,"height":64,
	"restore_faces":false,"tiling":false,"do_not_save_samples":false,"do_not_save_grid":false,"eta":null,"s_min_uncond":0,"s_churn":0,
	"s_tmax":0,"s_tmin":0,"s_noise":1,"override_settings":{},"override_settings_restore_afterwards":true,"refiner_checkpoint":"",
	"refiner_switch_at":0,"disable_extra_networks":false,"firstpass_image":null,"comments":{},"force_task_id":null,
	"sampler_index":"Euler","script_name":null,"script_args":[],"send_images":true,"save_images":false,"alwayson_scripts":{},
	"infotext":null`

// TestDefaultsOfA1111AskForNothing: what a form says when nothing was chosen is the request without it.
func TestDefaultsOfA1111AskForNothing(t *testing.T) {
	const hires = `,"enable_hr":false,"firstphase_width":0,"firstphase_height":0,"hr_scale":2,"hr_upscaler":null,"hr_second_pass_steps":0,
		"hr_resize_x":0,"hr_resize_y":0,"hr_checkpoint_name":null,"hr_sampler_name":null,"hr_scheduler":null,"hr_prompt":"",
		"hr_negative_prompt":"","denoising_strength":null`
	const ofMasks = `,"resize_mode":0,"image_cfg_scale":null,"mask_blur_x":4,"mask_blur_y":4,"mask_blur":null,"mask_round":true,
		"inpainting_fill":0,"inpaint_full_res":true,"inpaint_full_res_padding":0,"inpainting_mask_invert":0,"initial_noise_multiplier":null,
		"latent_mask":null,"include_init_images":false`
	const own = `"scheduler":"Euler","sigmas":"Automatic","num_inference_steps":20,"guidance_scale":7,"width":64,"height":64,"num_images":1,
		"max_batch":1`
	for _, c := range []struct{ form, plain string }{
		{`{"prompt":"x",` + a1111Defaults + hires + `}`, `{"prompt":"x",` + own + `}`},
		{`{"prompt":"x","init_images":["p.png"],` + a1111Defaults + ofMasks + `}`, `{"prompt":"x","init_image":"p.png",` + own + `}`},
		{`{"prompt":"x","resize_mode":3,"mask_blur":4,"inpainting_fill":2,"mask":null}`, `{"prompt":"x"}`},
		{`{"refiner_checkpoint":"None","refiner_switch_at":0.8,"script_name":"None"}`, `{}`},
		{`{"refiner_checkpoint":null,"refiner_switch_at":0.8}`, `{}`},
		{`{"refiner_checkpoint":"r.safetensors","refiner_switch_at":0.7,"model":{"model":"nano"}}`,
			`{"model":{"model":"nano","refiner":"r.safetensors"},"refiner_start":0.7}`},
		{`{"refiner_switch_at":0.7}`, `{"refiner_start":0.7}`},
		{`{"s_churn":0.5,"s_tmin":0.1,"s_noise":1.01}`, `{"scheduler_options":{"s_churn":0.5,"s_tmin":0.1,"s_noise":1.01}}`},
		{`{"init_images":["p.png"],"mask":"m.png","mask_blur":0,"mask_blur_x":0,"mask_blur_y":0,"inpainting_fill":1,"resize_mode":0,
			"inpaint_full_res":false,"inpaint_full_res_padding":32,"inpainting_mask_invert":0,"mask_round":true,
			"initial_noise_multiplier":1.0}`, `{"init_image":"p.png","mask_image":"m.png","inpaint":{"fill":"original"}}`},
		{`{"init_images":["p.png"],"mask":"m.png","inpaint_full_res":0,"inpainting_mask_invert":false,"resize_mode":"Just resize"}`,
			`{"init_image":"p.png","mask_image":"m.png"}`},
		{`{"alwayson_scripts":{"controlnet":{"args":[{"model":"c","image":"p.png","hr_option":"Both","inpaint_crop_input_image":true,
			"advanced_weighting":null,"effective_region_mask":null,"input_mode":"simple","loopback":false}]},"Other":{"args":[]}}}`,
			`{"controlnet":[{"model":"c","image":"p.png"}]}`},
	} {
		want, err := DecodeJSON([]byte(c.plain))
		require.NoError(t, err, c.plain)
		got, err := DecodeJSON([]byte(c.form))
		require.NoError(t, err, c.form)
		assert.Equal(t, want.Jobs, got.Jobs, c.form)
		assert.Equal(t, want.Model, got.Model, c.form)
	}
}

// TestWhatIsNotOfferedIsNamed: every name that is refused says what it is called, what it was given, and what to do.
func TestWhatIsNotOfferedIsNamed(t *testing.T) {
	n := 0
	for _, name := range Names() {
		if name.Key != "" || name.Idle == nil {
			continue
		}
		n++
		entry := map[string]any{name.Name: "something else"}
		table := map[string]any{"init_image": "p.png", "mask_image": "m.png"}
		switch name.Table {
		case "":
			table[name.Name] = "something else"
		case "controlnet", "ip_adapter":
			table[name.Table] = []any{entry}
		}
		data, err := json.Marshal(table)
		require.NoError(t, err)
		_, err = DecodeJSON(data)
		require.ErrorContains(t, err, name.Name+`: is the string "something else"; this is not offered: `, name.Name)
		assert.ErrorContains(t, err, "leave it out", name.Name)
		for _, idle := range name.Idle {
			if text := fmt.Sprint(idle); text != "" && idle == name.Idle[0] {
				assert.ErrorContains(t, err, "or write "+text, name.Name)
			}
		}
		if name.Remedy != "" {
			assert.True(t, strings.Contains(err.Error(), name.Remedy+"; "), name.Name)
		}
	}
	assert.Greater(t, n, 30)
	_, err := DecodeJSON([]byte(`{"init_image":"p.png","jobs":[{"mask":"m.png"},{"mask_round":false}]}`))
	assert.ErrorContains(t, err, "jobs[1].mask_round", "the mask of another job is enough to be careful")
}
