package synth

import "context"

// WriteHollow writes a safetensors file with the names, shapes and size that Write would give it, whose weights are a hole in the file:
// they take no room on the disk and read as zeros. It is for what looks at headers only, such as plans of memory.
func WriteHollow(path string, opt Options) error {
	opt.Format, opt.hollow = FormatSafetensors, true
	return Write(context.Background(), path, opt)
}
