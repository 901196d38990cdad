// Package pictures goes between pictures and latents: pixels and masks, outpainting's canvas, the VAE in both directions, previews.
package pictures
