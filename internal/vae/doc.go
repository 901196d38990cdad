// Package vae decides how a VAE is run: in one piece, one picture of a batch at a time, or by tiles that show no
// seams; it notices a VAE that overflows its precision and repeats the work in F32; it keeps several open within
// limits; and it measures what a VAE does to pictures. It computes through the interface of package backend and holds no weights.
//
// # Tiles
//
// A VAE's convolutions see some 13 latent cells around each pixel, which an overlap covers. Two things see the whole
// picture: the attention in the middle, and every group norm. Tiles that ignore that differ in colour (25 dB from the undivided picture
// on the nano VAE, see docs/vae.md). So where the backend can run a VAE in parts (backend.VAEParts) the middle, which is small, runs
// on the whole picture, and the levels run on tiles twice: a first time to gather the statistics of every group norm over the
// whole picture, each tile reporting on its own part of it, and a second time to compute with them. (More rounds are not
// better: what one norm's better statistics change upsets those after it.) Models that cannot be run in parts, such as TAESD, which has no
// norms, are tiled plainly.
//
// Tiles are blended with linear ramps over what they share.
package vae
