package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/rng"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// table is a table of a run file.
type table = map[string]any

// recipe draws the settings of one picture.
type recipe struct {
	*rand.Rand
	dir        string // of the inputs
	job, model table
	has        []string // names of features
}

func pick[T any](r *recipe, list ...T) T { return list[r.IntN(len(list))] }

func (r *recipe) file(name string) string { return filepath.Join(r.dir, name) }

// features are what a picture may have. Each is drawn for a part of the pictures; what a picture cannot have together is drawn again.
var features = []struct {
	name  string
	share float64
	add   func(r *recipe)
}{
	{"negative", 0.5, func(r *recipe) {
		r.job["negative_prompt"] = pick(r, "", "a green star", "(a [big] ring:1.3), {cross|heart}")
	}},
	{"prompt 2", 0.2, func(r *recipe) { r.job["prompt_2"] = "a blue square"; r.job["negative_prompt_2"] = "a ring" }},
	{"zeros", 0.2, func(r *recipe) { r.job["force_zeros_for_empty_prompt"] = pick(r, true, false) }},
	{"styles", 0.2, func(r *recipe) {
		r.job["styles"] = []string{"flat"}
		r.model["style_files"] = []string{r.file("styles.csv")}
	}},
	{"wildcards", 0.2, func(r *recipe) {
		r.job["prompt"] = "a __colour__ {circle|square|2$$ and $$star|ring} on a black background"
		r.model["wildcard_directories"] = []string{r.file("wild")}
	}},
	{"syntax", 0.2, func(r *recipe) { r.job["prompt_syntax"] = pick(r, "plain", "comfyui") }},
	{"embedding", 0.2, func(r *recipe) {
		r.job["prompt"] = "a sparkle circle on a blue background"
		r.model["embeddings"] = []string{r.file("sparkle.safetensors")}
	}},
	{"numbers", 0.5, func(r *recipe) {
		r.job["guidance_scale"] = pick(r, 1.0, 2.5, 7.0)
		r.job["rng"] = pick(r, "cpu", "gpu")
		r.job["clip_skip"] = pick(r, 0, 1)
	}},
	{"rescale", 0.2, func(r *recipe) { r.job["guidance_rescale"] = 0.7 }},
	{"guidance", 0.3, func(r *recipe) {
		r.job["guidance"] = pick(r, table{"method": "apg", "momentum": -0.5, "eta": 0.5, "norm_threshold": 5.0},
			table{"method": "cfg_zero_star", "zero_init_steps": 2}, table{"method": "cfg_plus_plus"})
	}},
	{"interval", 0.2, func(r *recipe) { r.job["guidance_start"], r.job["guidance_stop"] = 0.25, 0.75 }},
	{"scheduler", 0.8, func(r *recipe) {
		r.job["scheduler"] = pick(r, append(scheduler.Names(), "DPM++ 2M SDE Karras", "euler_cfg_pp", "k_dpm_2_a", "DPM++ 3M SDE")...)
	}},
	{"sigmas", 0.3, func(r *recipe) { r.job["sigmas"] = pick(r, "karras", "exponential", "beta", "simple", "ays", "gits") }},
	{"options", 0.2, func(r *recipe) {
		r.job["scheduler"], r.job["scheduler_options"] = "EulerDiscrete", table{"s_churn": 0.3, "timestep_spacing": "trailing"}
	}},
	{"sizes", 0.2, func(r *recipe) {
		r.job["original_size"], r.job["crops_coords_top_left"], r.job["target_size"] = []int{512, 640}, []int{8, 16}, []int{96, 96}
	}},
	{"negative sizes", 0.2, func(r *recipe) {
		r.job["negative_original_size"], r.job["negative_target_size"] = []int{64, 64}, []int{48, 64}
	}},
	{"seamless", 0.2, func(r *recipe) { r.job["seamless"] = pick(r, "x", "y", "both") }},
	{"picture", 0.3, func(r *recipe) { r.job["init_image"], r.job["strength"] = r.file("photo.png"), pick(r, 0.5, 0.8) }},
	{"mask", 0.25, func(r *recipe) {
		r.job["init_image"], r.job["mask_image"] = r.file("photo.png"), r.file("mask.png")
		r.job["inpaint"] = pick(r, table{}, table{"blur": 2.0, "fill": "latent_noise"}, table{"only_masked": true, "padding": 8},
			table{"soft": true, "invert": true, "paste_back": false})
	}},
	{"outpaint", 0.1, func(r *recipe) {
		r.job["init_image"], r.job["outpaint"] = r.file("photo.png"), table{"right": 32, "top": 16, "feather": 8}
		delete(r.job, "width")
		delete(r.job, "height")
	}},
	{"hires", 0.25, func(r *recipe) {
		way := pick(r, "latent", "latent_nearest", "picture", "model")
		r.job["hires"] = table{"scale": 1.5, "upscaler": way, "strength": 0.6}
		if way == "model" {
			r.model["upscaler"] = r.file("esrgan.safetensors")
		}
	}},
	{"noise", 0.15, func(r *recipe) {
		r.job["noise"], r.job["num_images"], r.job["width"], r.job["height"] = r.file("noise.npy"), 2, 64, 64
	}},
	{"latents", 0.1, func(r *recipe) {
		r.job["latents"], r.job["denoising_start"], r.job["width"], r.job["height"] = r.file("latents.npy"), 0.4, 64, 64
	}},
	{"end", 0.1, func(r *recipe) { r.job["denoising_end"] = 0.6 }},
	{"refiner", 0.25, func(r *recipe) {
		r.model["refiner"] = r.file("refiner.safetensors")
		if r.job["refiner_mode"] = pick(r, "ensemble", "img2img", "none"); r.job["refiner_mode"] == "img2img" {
			r.job["refiner_strength"] = 0.5
		} else if r.job["refiner_mode"] == "ensemble" {
			r.job["refiner_start"], r.job["aesthetic_score"] = 0.5, 7.0
		}
	}},
	{"adapter", 0.4, func(r *recipe) {
		r.job["lora"] = []table{{"path": r.file("loras/nano-lora-outline.safetensors"), "weight": 0.7, "start": 0.2,
			"block_weights": table{"OUT00": 0.5, "down_blocks.1": 0.3}}}
		r.job["lora_stack"] = table{"global_weight": 0.9}
	}},
	{"tag", 0.3, func(r *recipe) {
		r.job["prompt"] = fmt.Sprint(r.job["prompt"], " <lora:nano-lora-stripes:0.4:0.8>")
		r.model["lora_directories"] = []string{r.file("loras")}
	}},
	{"control", 0.3, func(r *recipe) {
		r.job["controlnet"] = []table{{"model": r.file("nets/nano-controlnet-canny.safetensors"), "image": r.file("photo.png"),
			"preprocessor": "canny", "preprocessor_options": table{"low_threshold": 40}, "weight": 0.8, "end": 0.75,
			"control_mode": pick(r, "balanced", "prompt", "control"), "resize_mode": pick(r, "stretch", "pad")},
			{"model": r.file("nets/union.safetensors"), "image": r.file("edges.png"), "union_type": "depth", "weight": 0.3}}[:1+r.IntN(2)]
	}},
	{"shown", 0.25, func(r *recipe) {
		r.job["ip_adapter"] = []table{{"model": r.file("nets/ip.safetensors"), "image_encoder": r.file("nets/encoder.safetensors"),
			"images": []string{r.file("photo.png"), r.file("edges.png")}, "weight": 0.6, "start": 0.1, "masks": []string{r.file("mask.png")}}}
	}},
	{"reuse", 0.2, func(r *recipe) {
		r.job["reuse"] = pick(r, table{"deepcache": 2, "deepcache_branch": 1}, table{"easycache": 0.2}, table{"ucache": 1.0},
			table{"spectrum": 2}, table{"tgate": 2})
	}},
	{"types", 0.3, func(r *recipe) {
		r.model["unet_type"], r.model["text_type"], r.model["vae_type"] = pick(r, "q8_0", "q4_0", "f16"), pick(r, "q8_0", "f16"), "f32"
	}},
	{"arithmetic", 0.4, func(r *recipe) { r.model["precision"] = pick(r, "exact", "f16", "f32") }},
	{"attention", 0.2, func(r *recipe) { r.model["flash_attention"] = pick(r, "on", "off") }},
	{"slices", 0.2, func(r *recipe) { r.model["memory"] = table{"attention_slicing": true, "strategy": "stage"} }},
	{"tiles", 0.2, func(r *recipe) {
		r.model["vae_tiling"], r.model["vae_tile_size"], r.model["vae_tile_overlap"] = "on", 256, 0.3
		r.job["width"], r.job["height"] = 320, 64
	}},
	{"taesd", 0.15, func(r *recipe) { r.model["taesd"], r.model["fast_decode"] = r.file("nano-taesd.safetensors"), true }},
	{"file", 0.3, func(r *recipe) { r.model["model"] = r.file(pick(r, "nano-q8.gguf", "random.ckpt", "random-folder")) }},
	{"vae", 0.15, func(r *recipe) { r.model["vae"] = r.file("random.ckpt") }},
}

// drawRecipe draws the settings of the nth picture; try counts those that could not be.
func drawRecipe(dir string, n, try int) *recipe {
	r := &recipe{Rand: rand.New(rand.NewPCG(uint64(n), uint64(try))), dir: dir, model: table{"model": "nano", "device": "cpu", "threads": 2}}
	side := func() int { return 48 + 16*r.IntN(3) }
	r.job = table{"prompt": pick(r, "a red circle on a blue background", "a (small:1.3) [green:yellow:0.5] star BREAK on a black background",
		"a red ring on a white background AND a blue ring :0.4", ""), "width": side(), "height": side(), "seed": r.IntN(1 << 31),
		"num_inference_steps": 3 + r.IntN(3), "max_batch": 1 + r.IntN(2), "output": "picture.png"}
	for _, f := range features {
		if r.Float64() < f.share*0.6 || f.name == features[(n*7)%len(features)].name { // each feature is in some picture
			f.add(r)
			r.has = append(r.has, f.name)
		}
	}
	return r
}

// recipeInputs fills a folder with all that recipes name.
func recipeInputs(t *testing.T, dir string) {
	t.Helper()
	root := "../.."
	require.NoError(t, os.CopyFS(dir, os.DirFS(root+"/tools/recorder/inputs")))
	for from, to := range map[string]string{"nano-lora-outline": "loras", "nano-lora-stripes": "loras", "nano-controlnet-canny": "nets",
		"nano-taesd": "."} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, to), 0o755))
		data, err := os.ReadFile(root + "/models/nano/" + from + ".safetensors")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to, from+".safetensors"), data, 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "wild"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wild", "colour.txt"), []byte("red\ngreen\nblue\nyellow\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "styles.csv"),
		[]byte("name,prompt,negative_prompt\nflat,\"{prompt}, flat\",ring\n"), 0o644))
	refiner, err := exec.Command("gzip", "-dc", root+"/models/nano/nano-refiner.safetensors.gz").Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "refiner.safetensors"), refiner, 0o644))
	noise, err := rng.New(rng.CPU, 9)
	require.NoError(t, err)
	values := make([]float32, 2*4*8*8)
	noise.Normal(values)
	require.NoError(t, npy.WriteFile(filepath.Join(dir, "noise.npy"), npy.Array{Shape: []int{2, 4, 8, 8}, Data: values}))
	for line := range strings.Lines(`convert nano DIR/nano-q8.gguf --type q8_0
synth --kind nano --seed 1 -o DIR/random.ckpt
synth --kind nano --seed 2 -o DIR/random-folder/
synth --kind nano-controlnet-union --seed 5 -o DIR/nets/union.safetensors
synth --kind nano-ip-adapter --seed 6 -o DIR/nets/ip.safetensors
synth --kind nano-image-encoder --seed 7 -o DIR/nets/encoder.safetensors
synth --kind esrgan --seed 8 -o DIR/esrgan.safetensors`) {
		r := run(t, append([]string{"models"}, strings.Fields(strings.ReplaceAll(line, "DIR", dir))...)...)
		require.Zero(t, r.code, r.stderr)
	}
}

// covered are the features that pictures had.
func covered(recipes []*recipe) (missing []string) {
	for _, f := range features {
		if !slices.ContainsFunc(recipes, func(r *recipe) bool { return slices.Contains(r.has, f.name) }) {
			missing = append(missing, f.name)
		}
	}
	return missing
}
