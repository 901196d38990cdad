package main

import "maps"

// Prompts of the nano model.
const (
	redCircle   = "a red circle on a blue background"
	greenSquare = "a green square on a white background"
	longPrompt  = "a red circle, round, smooth, bright, on a blue background, flat, simple, clean, a drawing of one shape, " +
		"without a frame, without a shadow, without a text, in the middle, large, in one colour, with a sharp edge, on an even ground, " +
		"nothing else to be seen, as a child would draw it, with a brush, slowly, on white paper, in the morning, by a window, " +
		"with a cup of tea, and a cat on the floor, in a house at a river, under tall old trees, far from the town"
)

// nanoModel is the embedded model, with what is given besides. What depends on the machine is fixed.
func nanoModel(more ...table) table {
	out := table{"model": "nano", "device": "cpu", "threads": 2}
	for _, t := range more {
		maps.Copy(out, t)
	}
	return out
}

// small is a job of one picture of 64 x 64 in four steps, with what is given besides. A nil value takes a key away.
func small(more ...table) table {
	out := table{"prompt": redCircle, "width": 64, "height": 64, "num_inference_steps": 4, "seed": 11}
	for _, t := range more {
		maps.Copy(out, t)
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// one is a run of one job on the nano model.
func one(name string, more ...table) *run { return on(name, nanoModel(), job{"job", small(more...)}) }

// on is a run of jobs on a model.
func on(name string, model table, jobs ...job) *run {
	return &run{name: name, model: model, jobs: jobs}
}

// each is a run on the nano model of one job for each of the values of a key.
func each(name, key string, values []any, more ...table) *run {
	return eachOn(name, nanoModel(), key, values, more...)
}

func eachOn(name string, model table, key string, values []any, more ...table) *run {
	r := on(name, model)
	for _, v := range values {
		label, _ := v.(string)
		r.jobs = append(r.jobs, job{label, small(append(more, table{key: v})...)})
	}
	return r
}

// through limits a run to some faces.
func (r *run) through(faces ...string) *run {
	r.faces = faces
	return r
}

// allRuns lists all runs.
func allRuns(in inputs) []*run {
	var all []*run
	for _, runs := range [][]*run{plainRuns(), textRuns(in), pictureRuns(in), largerRuns(in), refinerRuns(in), controlRuns(in),
		loraRuns(), scheduleRuns(in), modelRuns(in), vaeRuns(in), memoryRuns(in)} {
		all = append(all, runs...)
	}
	return all
}

// plainRuns are pictures from texts, alone and in batches.
func plainRuns() []*run {
	batch := func(name string, images, most int) *run {
		t := table{"num_images": images}
		if most > 0 {
			t["max_batch"] = most
		}
		return one(name, t)
	}
	return []*run{
		one("t2i", table{"width": nil, "height": nil}),
		one("t2i-wide", table{"width": 96, "height": 40, "original_size": []int{100, 200}, "crops_coords_top_left": []int{3, 5},
			"target_size": []int{60, 90}, "negative_target_size": []int{10, 20}, "negative_prompt": "a green square"}),
		batch("batch-one", 3, 1),
		batch("batch-two", 4, 2),
		batch("batch-uneven", 5, 3),
		batch("batch-auto", 3, 0),
		on("batch-limited", nanoModel(table{"memory": table{"max_batch": 2}}), job{"job", small(table{"num_images": 3})}),
		on("together", nanoModel(),
			job{"first", small(table{"num_images": 2})},
			job{"other-text", small(table{"prompt": greenSquare, "seed": 40, "guidance_scale": 7.5})},
			job{"other-size", small(table{"width": 96, "seed": 41})},
			job{"unguided", small(table{"guidance_scale": 1, "seed": 42})},
			job{"negative", small(table{"negative_prompt": "a yellow star", "seed": 43, "num_images": 2})},
			job{"long", small(table{"prompt": longPrompt, "seed": 44})},
			job{"other-steps", small(table{"num_inference_steps": 3, "seed": 45})}),
		on("guidance", nanoModel(),
			job{"off", small(table{"guidance_scale": 1})},
			job{"rescale", small(table{"guidance_scale": 8, "guidance_rescale": 0.7})},
			job{"separate", small(table{"guidance_batch": "separate", "num_images": 2})},
			job{"joint", small(table{"guidance_batch": "joint", "num_images": 2})}),
		on("rng", nanoModel(), job{"gpu", small(table{"rng": "gpu", "num_images": 2, "scheduler": "Euler a"})}),
		{name: "previews", model: nanoModel(), jobs: []job{{"job", small(table{"num_images": 2})}}, previews: 2},
	}
}

// textRuns are about prompts.
func textRuns(in inputs) []*run {
	jobs := []job{
		{"clip-skip", small(table{"clip_skip": 1})},
		{"prompt-2", small(table{"prompt_2": greenSquare, "negative_prompt": "blue", "negative_prompt_2": "a star"})},
		{"emphasis", small(table{"prompt": "a (red:1.4) circle on a [blue] ((background))", "negative_prompt": "(star:0.5)"})},
		{"plain-syntax", small(table{"prompt": "a (red:1.4) circle BREAK on [blue]", "prompt_syntax": "plain"})},
		{"break", small(table{"prompt": "a red circle BREAK on a blue background", "negative_prompt": "a star"})},
		{"long", small(table{"prompt": longPrompt})},
		{"long-negative", small(table{"negative_prompt": longPrompt, "num_images": 2})},
		{"no-zeros", small(table{"force_zeros_for_empty_prompt": false})},
		{"zeros", small(table{"force_zeros_for_empty_prompt": true})},
		{"unicode", small(table{"prompt": "ein roter Kreis, Café, 赤い円"})},
	}
	sparkling := table{"prompt": "a sparkle circle on a blue background", "negative_prompt": "(sparkle:0.5)"}
	return []*run{
		on("texts", nanoModel(), jobs...),
		on("texts-uncached", nanoModel(table{"text_cache_mb": -1}), jobs[:3]...),
		on("embedding", nanoModel(table{"embeddings": []string{in.file("sparkle.safetensors")}}), job{"job", small(sparkling)}),
		on("embedding-folder", nanoModel(table{"embedding_directories": []string{in.file("")}}), job{"job", small(sparkling)},
			job{"warned", small(table{"prompt": "a misfit circle", "num_images": 2})}),
	}
}

// pictureRuns begin with pictures, latents or noise.
func pictureRuns(in inputs) []*run {
	photo := table{"init_image": in.file("photo.png")}
	masked := table{"init_image": in.file("photo.png"), "mask_image": in.file("mask.png")}
	odd := table{"init_image": in.file("odd.png"), "width": nil, "height": nil, "strength": 0.5}
	latents := table{"latents": in.file("latents.npy")}
	return []*run{
		one("img2img", photo, table{"strength": 0.5, "num_images": 2}),
		one("img2img-defaults", photo),
		one("img2img-odd", odd),
		one("img2img-scaled", table{"init_image": in.file("wide.png"), "strength": 1, "scheduler": "DPM++ 2M Karras"}),
		one("inpaint", masked, table{"num_images": 2}),
		one("inpaint-partial", masked, table{"strength": 0.6, "num_images": 3, "max_batch": 2}),
		on("inpaint-9", nanoModel(table{"model": in.file("inpaint9.safetensors")}),
			job{"whole", small(masked, table{"strength": 1, "num_images": 2})}, job{"partial", small(masked, table{"strength": 0.75})}),
		one("outpaint", table{"init_image": in.file("photo.png"), "width": nil, "height": nil,
			"outpaint": table{"left": 16, "bottom": 8, "feather": 8}, "num_images": 2}),
		one("outpaint-odd", table{"init_image": in.file("odd.png"), "width": nil, "height": nil, "outpaint": table{"right": 24}}),
		on("outpaint-9", nanoModel(table{"model": in.file("inpaint9.safetensors")}),
			job{"job", small(table{"init_image": in.file("photo.png"), "width": nil, "height": nil, "outpaint": table{"top": 16}})}),
		one("parts-begin", table{"denoising_end": 0.5, "num_images": 2}),
		one("parts-end", latents, table{"denoising_start": 0.5}),
		one("parts-middle", latents, table{"denoising_start": 0.25, "denoising_end": 0.75, "num_images": 2}),
		one("parts-picture", photo, table{"denoising_start": 0.5}),
		one("latents", latents, table{"strength": 0.6, "num_images": 2}),
		one("noise", table{"noise": in.file("noise.npy"), "num_images": 2}),
		one("noise-img2img", photo, table{"noise": in.file("noise.npy"), "num_images": 2, "strength": 0.7}),
	}
}

// largerRuns are second passes and tiles of patterns.
func largerRuns(in inputs) []*run {
	second := func(upscaler string, more ...table) table {
		return small(append(more, table{"hires": table{"scale": 1.5, "upscaler": upscaler, "strength": 0.5}})...)
	}
	return []*run{
		on("hires-latent", nanoModel(), job{"bilinear", second("latent", table{"num_images": 2})}, job{"nearest", second("latent_nearest")}),
		one("hires-size", table{"hires": table{"width": 96, "height": 80, "steps": 6}, "num_images": 3, "max_batch": 2}),
		on("hires-picture", nanoModel(), job{"job", second("picture", table{"num_images": 2})}),
		on("hires-model", nanoModel(table{"upscaler": in.file("esrgan.safetensors")}),
			job{"job", second("model", table{"width": 32, "height": 32})}),
		on("hires-img2img", nanoModel(), job{"job", second("latent", table{"init_image": in.file("photo.png"), "strength": 0.6})}),
		each("seamless", "seamless", []any{"x", "y", "both"}, table{"num_images": 2}),
		one("seamless-hires", table{"seamless": "both", "hires": table{"scale": 1.5, "upscaler": "picture"}}),
	}
}
