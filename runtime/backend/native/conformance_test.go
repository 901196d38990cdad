package native_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/backendtest"
)

func TestConformance(t *testing.T) {
	b, base := nanoBackend(t)
	with := func(edit func(*backend.Files)) backend.ModelConfig {
		cfg := base
		cfg.Files = backend.Files{}
		edit(&cfg.Files)
		return cfg
	}
	models := filepath.Join("..", "..", "..", "models", "nano")
	esrgan := filepath.Join(t.TempDir(), "esrgan.safetensors")
	require.NoError(t, synth.Write(t.Context(), esrgan, synth.Options{Kind: synth.KindESRGAN, Seed: 1}))
	yolo := filepath.Join(t.TempDir(), "yolo.safetensors")
	require.NoError(t, synth.Write(t.Context(), yolo, synth.Options{Kind: synth.KindNanoYOLOv8, Seed: 1}))
	backendtest.Test(t, backendtest.Models{Backend: b, Base: base,
		ControlNet: with(func(f *backend.Files) { f.ControlNet = filepath.Join(models, "nano-controlnet-canny.safetensors") }),
		TAESD:      with(func(f *backend.Files) { f.TAESD = filepath.Join(models, "nano-taesd.safetensors") }),
		Upscaler:   with(func(f *backend.Files) { f.Upscaler = esrgan }),
		Detector:   with(func(f *backend.Files) { f.Detector = yolo }),
	})
	require.Zero(t, b.LiveModels())
}
