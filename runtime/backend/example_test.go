package backend_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// A model is opened on a device and asked for single operations. Every backend is used in this way.
func Example() {
	ctx := context.Background()
	var b backend.Backend = &fake.Backend{} // or native.New
	m, err := b.Open(ctx, backend.ModelConfig{
		Files:         backend.Files{Model: "sd_xl_base_1.0.safetensors"},
		UNetResidency: backend.ResidencyOnDemand,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	pixels, err := m.DecodeLatents(ctx, backend.NewTensor(1, m.Info().VAE.LatentChannels, 4, 6))
	fmt.Println(m.Info().Kind, pixels.Shape, err)

	_, err = m.DecodeLatents(ctx, backend.NewTensor(1, 3, 4, 6))
	fmt.Println(errors.Is(err, backend.ErrArgument), err)
	for _, c := range m.MemoryStats().Components {
		fmt.Println(c.Name, c.Loaded)
	}
	// Output:
	// sdxl-base [1 3 32 48] <nil>
	// true fake: latents: has shape [1 3 4 6]; wanted is [* 4 * *]
	// text_encoder true
	// text_encoder_2 true
	// unet false
	// vae_encoder true
	// vae_decoder true
}

func ExampleCandidates() {
	for _, c := range backend.Candidates([]backend.Device{
		{ID: "cpu", Kind: backend.DeviceCPU},
		{ID: "vulkan:0", Kind: backend.DeviceGPU},
		{ID: "vulkan:1", Kind: backend.DeviceGPU, Software: true},
	}) {
		fmt.Println(c.ID, "-", c.Reason)
	}
	// Output:
	// vulkan:0 - a GPU, which is faster than cpu
	// cpu - the CPU, where vulkan:0 fails
}
