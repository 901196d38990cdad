// Package steps is the denoising loop: from noise or a picture's latents to finished latents, for a batch of pictures of one request or
// several. Its numbers are those of diffusers' StableDiffusionXLPipeline, its Img2Img, Inpaint and ControlNet variants, and the refiner's.
package steps
