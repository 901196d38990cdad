// Package imagefile writes the pictures of the command line as PNG, JPEG and WebP, with the generation
// settings stored in PNG text chunks, and reads those chunks back. It knows nothing of diffusion.
package imagefile
