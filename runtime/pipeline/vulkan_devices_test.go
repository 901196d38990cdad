//go:build vulkan && !race

package pipeline

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// twoDevices are those of tools/test-vulkan.sh, which shows one driver twice.
func twoDevices(t *testing.T) (first, second string) {
	t.Helper()
	list, err := vulkanBackend(t).Devices(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(list), 3, "two devices and the CPU")
	return list[0].ID, list[1].ID
}

// TestTwoVulkanDevices: components on devices of their own, by key, make the picture of one device.
func TestTwoVulkanDevices(t *testing.T) {
	first, second := twoDevices(t)
	r := oneStep()
	want := makeOn(t, Config{Device: first, Precision: backend.PrecisionF16}, r)
	p := openOn(t, Config{Device: first, TextDevice: second, VAEDevice: second, Precision: backend.PrecisionF16})
	placed := map[string]string{}
	for _, c := range p.Info().Components {
		if c.Present && c.Opened {
			placed[c.Name] = c.Device
		}
	}
	assert.Equal(t, map[string]string{"text_encoder": second, "text_encoder_2": second, "unet": first, "vae_encoder": second,
		"vae_decoder": second}, placed)
	got, err := p.Generate(t.Context(), r)
	require.NoError(t, err)
	assert.Equal(t, want.Images[0].NRGBA.Pix, got.Images[0].NRGBA.Pix)
}

// TestTwoVulkanDevicesShareARun: a Batcher gives each device batches of its own, and pictures are those of one device.
func TestTwoVulkanDevicesShareARun(t *testing.T) {
	first, second := twoDevices(t)
	r := oneStep()
	r.NumImages, r.MaxBatch = 6, 1
	want := makeOn(t, Config{Device: first, Precision: backend.PrecisionF16}, r)

	var mu sync.Mutex
	batches := map[string]int{}
	var pipes []*Pipeline
	for _, device := range []string{first, second} {
		p := openOn(t, Config{Device: device, Precision: backend.PrecisionF16})
		_, err := p.Generate(t.Context(), oneStep()) // the driver compiles nothing while the other one computes
		require.NoError(t, err)
		pipes = append(pipes, p)
	}
	b := NewBatcher(BatcherOptions{OnEvent: func(e BatchEvent) {
		if e.Kind == "batch_ended" {
			mu.Lock()
			batches[e.Worker]++
			mu.Unlock()
		}
	}}, pipes...)
	defer b.Close()
	plan, err := b.Plan(r)
	require.NoError(t, err)
	got := make([]Image, r.NumImages)
	job, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error {
		mu.Lock()
		defer mu.Unlock()
		got[img.Index] = img
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, job.Wait(t.Context()))
	for i, img := range got {
		assert.True(t, slices.Equal(want.Images[i].NRGBA.Pix, img.NRGBA.Pix), "picture %d", i)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Log(batches)
	require.Len(t, batches, 2, "both compute")
}
