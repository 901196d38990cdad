package main

// refinerRuns are runs with a refiner.
func refinerRuns(in inputs) []*run {
	model := func(more ...table) table {
		return nanoModel(append([]table{{"refiner": in.file("refiner.safetensors")}}, more...)...)
	}
	jobs := []job{
		{"ensemble", small(table{"refiner_mode": "ensemble", "refiner_start": 0.5, "num_images": 3, "max_batch": 2})},
		{"img2img", small(table{"refiner_mode": "img2img", "refiner_strength": 0.5, "refiner_steps": 6, "aesthetic_score": 7, "num_images": 2})},
		{"none", small(table{"refiner_mode": "none"})},
		{"defaults", small(table{"negative_prompt": "a star"})},
	}
	masked := table{"init_image": in.file("photo.png"), "mask_image": in.file("mask.png")}
	return []*run{
		on("refiner", model(), jobs...),
		on("refiner-on-demand", model(table{"refiner_on_demand": true}), jobs[:2]...),
		on("refiner-q8", model(table{"refiner_type": "q8_0"}), jobs[0]),
		on("refiner-base", nanoModel(table{"refiner": "nano"}), jobs[0]),
		on("refiner-inpaint", model(), job{"job", small(masked, table{"refiner_start": 0.5})}),
	}
}

// controlRuns are runs with ControlNets.
func controlRuns(in inputs) []*run {
	canny := repo("models/nano/nano-controlnet-canny.safetensors")
	net := func(more ...table) table {
		out := table{"model": canny, "image": in.file("edges.png")}
		for _, t := range more {
			for k, v := range t {
				out[k] = v
			}
		}
		return out
	}
	with := func(nets ...any) table { return table{"controlnet": nets} }
	second := net(table{"model": in.file("net.safetensors"), "weight": 0.5, "start": 0.25})
	return []*run{
		one("control", with(net()), table{"num_images": 2}),
		each("control-modes", "controlnet", []any{
			[]any{net(table{"control_mode": "prompt"})},
			[]any{net(table{"control_mode": "control", "weight": 0.8})},
		}).labelled("prompt", "control"),
		one("control-two", with(net(table{"weight": 0.7, "end": 0.75}), second), table{"num_images": 3, "max_batch": 2}),
		one("control-two-guess", with(net(table{"control_mode": "control"}), second)),
		one("control-range", with(net(table{"start": 0.25, "end": 0.75}))),
		one("control-canny", with(net(table{"image": in.file("odd.png"), "preprocessor": "canny", "resize_mode": "pad"}))),
		one("control-union", with(net(table{"model": in.file("union.safetensors"), "union_type": "depth"}))),
		on("control-folder", nanoModel(table{"controlnet_directories": []string{repo("models/nano")}, "memory": table{"strategy": "stage"}}),
			job{"job", small(with(net(table{"model": "nano-controlnet-canny"})))}),
		one("control-img2img-hires", with(net()),
			table{"init_image": in.file("photo.png"), "strength": 0.6, "hires": table{"scale": 1.5, "upscaler": "latent"}}),
		on("control-refiner", nanoModel(table{"refiner": in.file("refiner.safetensors")}),
			job{"job", small(with(net()), table{"refiner_start": 0.5})}),
	}
}

// labelled names a run's jobs.
func (r *run) labelled(labels ...string) *run {
	for i, l := range labels {
		r.jobs[i].label = l
	}
	return r
}

// loraRuns are runs with adapters.
func loraRuns() []*run {
	adapter := func(file string, more ...table) table {
		out := table{"path": repo(file)}
		for _, t := range more {
			for k, v := range t {
				out[k] = v
			}
		}
		return out
	}
	const outline, stripes = "models/nano/nano-lora-outline.safetensors", "models/nano/nano-lora-stripes.safetensors"
	with := func(adapters ...any) table { return table{"lora": adapters} }
	golden := func(name string) job {
		return job{name, small(with(adapter("testdata/goldens/lora_"+name+".safetensors", table{"weight": 0.7})))}
	}
	blocks := table{"BASE": 0.5, "IN04": 0.2, "M00": 0, "up_blocks.0": 1.5}
	both := with(adapter(outline, table{"weight": 0.8}), adapter(stripes, table{"unet_weight": 0.5, "text_encoder_weight": 0.25}))
	named := adapter("testdata/goldens/lora_kohya.safetensors", table{"name": "moving", "weight": 0.25})
	live := func(name string, step int, values, more table) *run {
		r := one(name, with(named, adapter(outline)), more)
		r.live = &change{adapter: "moving", step: step, values: values}
		return r.through("worker", "generate", "batcher")
	}
	return []*run{
		one("lora", with(adapter(outline)), table{"num_images": 2}),
		one("lora-stack", both, table{"num_images": 3, "max_batch": 2, "lora_stack": table{"global_weight": 0.9}}),
		one("lora-ranges", with(adapter(outline, table{"end": 0.5}), adapter(stripes, table{"start": 0.25, "end": 0.75, "scaling_factor": 2})),
			table{"num_images": 2}),
		one("lora-blocks", with(adapter("testdata/goldens/lora_kohya.safetensors", table{"block_weights": blocks}))),
		on("lora-tags", nanoModel(table{"lora_directories": []string{repo("models/nano")}}),
			job{"one", small(table{"prompt": redCircle + " <lora:nano-lora-outline:0.6>"})},
			job{"two", small(with(table{"name": "nano-lora-stripes", "weight": 0.3}), table{"prompt": "<lora:nano-lora-outline:0.6> " + redCircle})},
			job{"off", small(with(table{"name": "nano-lora-stripes", "enabled": false}))}),
		on("lora-layouts", nanoModel(), golden("kohya"), golden("diffusers"), golden("peft"), golden("locon"), golden("loha"), golden("lokr"),
			golden("dora"), golden("ia3"), golden("full")),
		on("lora-q8", nanoModel(table{"type": "q8_0"}), job{"job", small(both)}),
		on("lora-stream", nanoModel(table{"memory": table{"strategy": "stream"}}), job{"job", small(both, table{"num_images": 2})}),
		on("lora-together", nanoModel(), job{"first", small(both)}, job{"second", small(both, table{"prompt": greenSquare, "seed": 30})},
			job{"without", small(table{"seed": 31})}),
		live("lora-live-waiting", 0, table{"weight": 1.0}, table{"num_images": 2, "max_batch": 1}),
		live("lora-live-off", 0, table{"enabled": false}, nil),
		live("lora-live-running", 1, table{"unet_weight": 1.0, "text_encoder_weight": 0.5},
			table{"num_images": 2, "max_batch": 1, "num_inference_steps": 60}),
	}
}

// scheduleRuns are about schedulers.
func scheduleRuns(in inputs) []*run {
	schedulers := on("schedulers", nanoModel())
	for _, name := range in.schedulers {
		schedulers.jobs = append(schedulers.jobs, job{name, small(table{"scheduler": name, "width": 32, "height": 32, "num_inference_steps": 6})})
	}
	return []*run{
		schedulers,
		each("sigmas", "sigmas", []any{"karras", "exponential", "beta", "sgm_uniform", "simple", "ays", "gits"},
			table{"width": 32, "height": 32, "num_inference_steps": 6, "scheduler": "DPMSolverMultistepScheduler"}),
		one("scheduler-options", table{"scheduler": "EulerDiscrete", "num_images": 2,
			"scheduler_options": table{"timestep_spacing": "trailing", "s_churn": 0.5, "prediction_type": "v_prediction"}}),
		one("scheduler-noisy", table{"scheduler": "DPMSolverSDE", "num_images": 3, "max_batch": 2}),
	}
}

// modelRuns are about formats, types and precisions of weights.
func modelRuns(in inputs) []*run {
	model := func(name string, more table) *run {
		return on("model-"+name, nanoModel(more), job{"job", small(table{"num_images": 2})})
	}
	base := in.file("nano-f32.safetensors")
	return []*run{
		model("exact", table{"precision": "exact"}),
		model("f32", table{"precision": "f32"}),
		model("f16", table{"precision": "f16"}),
		model("bf16", table{"precision": "bf16"}),
		model("q8", table{"type": "q8_0"}),
		model("q4k", table{"type": "q4_k"}),
		model("types", table{"unet_type": "q5_1", "text_type": "f16", "vae_type": "f32"}),
		model("f32-file", table{"model": base}),
		model("gguf", table{"model": in.file("nano-q8.gguf")}),
		model("ckpt", table{"model": in.file("random.ckpt")}),
		model("folder", table{"model": in.file("random-folder")}),
		model("diffusers-names", table{"model": in.file("random-names.safetensors")}),
		model("fused", table{"model": in.file("fused.safetensors")}),
		model("parts", table{"vae": in.file("random-folder/vae/diffusion_pytorch_model.safetensors"), "unet": base}),
		model("threads", table{"threads": 1, "flash_attention": "off"}),
	}
}

// vaeRuns are about the VAE and its small stand-in.
func vaeRuns(in inputs) []*run {
	taesd := table{"taesd": repo("models/nano/nano-taesd.safetensors")}
	fast := on("taesd-fast", nanoModel(taesd, table{"fast_decode": true}), job{"job", small(table{"num_images": 2})})
	previews := on("taesd-previews", nanoModel(taesd), job{"job", small(table{"num_images": 3, "max_batch": 2})})
	previews.previews = 1
	large := table{"width": 128, "height": 128, "num_inference_steps": 2, "num_images": 2}
	huge := table{"width": 320, "height": 288, "num_inference_steps": 1}
	return []*run{
		fast, previews,
		on("tiling", nanoModel(table{"vae_tiling": "on", "vae_tile_size": 256, "vae_tile_overlap": 0.5}),
			job{"decode", small(huge)}, job{"encode", small(huge, table{"init_image": in.file("large.png"), "strength": 1})}),
		on("slicing-on", nanoModel(table{"vae_slicing": "on"}), job{"job", small(large)}),
		on("slicing-off", nanoModel(table{"vae_slicing": "off"}), job{"job", small(large)}),
	}
}

// memoryRuns are about how weights are held.
func memoryRuns(in inputs) []*run {
	var all []*run
	for _, strategy := range []string{"resident", "release", "stage", "stream", "mmap"} {
		held := table{"memory": table{"strategy": strategy}}
		pictures := job{"job", small(table{"num_images": 3, "max_batch": 2})}
		all = append(all, on("memory-"+strategy, nanoModel(held), pictures),
			on("memory-"+strategy+"-refiner", nanoModel(held, table{"refiner": in.file("refiner.safetensors")}),
				job{"job", small(table{"refiner_start": 0.5, "num_images": 3, "max_batch": 2})}),
			on("memory-"+strategy+"-gguf", nanoModel(held, table{"model": in.file("nano-q8.gguf")}), pictures,
				job{"img2img", small(table{"init_image": in.file("photo.png"), "strength": 0.5})}))
	}
	slices := nanoModel(table{"memory": table{"attention_slicing": true}, "flash_attention": "off"})
	tight := nanoModel(table{"memory": table{"memory_limit": "82MiB"}})
	return append(all,
		on("memory-slices", slices, job{"job", small()}),
		// What a process has besides differs from face to face, and so does what fits.
		on("memory-tight", tight, job{"job", small(table{"num_images": 2})}).through("cli"))
}
