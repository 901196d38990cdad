// Package pipeline is the SDXL pipeline: requests in, pictures out. It decides everything there is to
// decide (prompts, noise, schedule, guidance, conditioning, batches) and has a backend compute the tensors. Its numbers are
// those of diffusers' StableDiffusionXLPipeline, StableDiffusionXLImg2ImgPipeline and
// StableDiffusionXLInpaintPipeline.
//
//	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: "sd_xl_base_1.0.safetensors"})
//	if err != nil { ... }
//	defer pipe.Close()
//	out, err := pipe.Generate(ctx, request.Request{Prompt: "a lighthouse in fog", Seed: 7})
//
// Generate makes the pictures of one request. A Batcher makes those of many, in batches across requests. Both go one way, in
// sitting.go and stages.go, whose stages are the packages below internal/.
package pipeline
