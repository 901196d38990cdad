// Package imagefile reads and writes the pictures of the command line: PNG, JPEG and WebP, with the
// generation settings stored in PNG text chunks. It knows nothing of diffusion; pixels go in, bytes
// come out, and the other way round with limits on what a stranger's file may ask for.
package imagefile
