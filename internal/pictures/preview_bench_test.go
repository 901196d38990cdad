package pictures

import (
	"testing"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// BenchmarkPreviewRGB is all that a preview without a model costs at 1024 px: the predicted original latents and their picture.
func BenchmarkPreviewRGB(b *testing.B) {
	s, err := scheduler.New("EulerDiscrete", scheduler.SDXLDefaults())
	if err != nil {
		b.Fatal(err)
	}
	run, err := s.NewRun(scheduler.RunOptions{NumInferenceSteps: 30, BatchSize: 1})
	if err != nil {
		b.Fatal(err)
	}
	latents, output, scratch := make([]float32, 4*128*128), make([]float32, 4*128*128), make([]float32, 4*128*128)
	for i := range latents {
		latents[i], output[i] = float32(i%7)-3, float32(i%5)-2
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := run.PredOriginalSample(scratch, output, latents, 3); err != nil {
			b.Fatal(err)
		}
		latentPicture(scratch, 128, 128)
	}
}
