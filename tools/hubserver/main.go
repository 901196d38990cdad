// Command hubserver runs the tests' hub (internal/hubtest) for other programs: for huggingface_hub, for curl, for the built daguerre. It
// prints its address, and ends when its standard input does.
//
//	go run ./tools/hubserver [-size 200000000]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/daguerre-go/daguerre/internal/hubtest"
)

func main() {
	size := flag.Int("size", 1<<20, "bytes of the large file")
	flag.Parse()
	s := hubtest.New()
	defer s.Close()
	large := hubtest.Safetensors(1, *size)
	small := func(seed uint64) []byte { return hubtest.Safetensors(seed, 4096) }
	s.Commit("test/file", "main", map[string][]byte{"model.safetensors": large, "README.md": []byte("a large file\n")})
	s.Commit("test/folder", "main", map[string][]byte{"model_index.json": []byte(`{"_class_name": "StableDiffusionXLPipeline",` +
		`"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}`),
		"unet/config.json": []byte("{}"), "unet/diffusion_pytorch_model.safetensors": small(2),
		"unet/diffusion_pytorch_model.fp16.safetensors": small(3),
		"vae/config.json": []byte("{}"), "vae/diffusion_pytorch_model.safetensors": small(4), "README.md": []byte("a folder\n")})
	s.SetPage("/plain/model.safetensors", large)
	fmt.Println(s.Hub.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that matters
}
