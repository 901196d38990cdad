package scheduler

import (
	"testing"
	"time"
)

// BenchmarkStep measures one Step, without drawing noise, on the latents of four 1024 x 1024 pictures. ms/step is for
// each evaluation of a run the least time it took, so that other load on the machine does not count, and of those the largest.
func BenchmarkStep(b *testing.B) {
	const n = 4 * 4 * 128 * 128
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			s, err := New(name, SDXLDefaults())
			if err != nil {
				b.Fatal(err)
			}
			run, err := s.NewRun(RunOptions{NumInferenceSteps: 25, BatchSize: 4})
			if err != nil {
				b.Fatal(err)
			}
			sample, out := make([]float32, n), make([]float32, n)
			goldenNoise(sample, 0)
			goldenNoise(out, 1)
			noise := NoiseFunc(func([]float32) error { return nil })
			first := append([]float32(nil), sample...)
			i := 0
			least := make([]time.Duration, run.NumEvaluations()) // by evaluation: their orders differ
			b.ReportAllocs()
			for b.Loop() {
				if i == run.NumEvaluations() {
					i = 0
				}
				if i == 0 {
					copy(sample, first)
				}
				start := time.Now()
				if err := run.Step(sample, out, sample, i, noise); err != nil {
					b.Fatal(err)
				}
				if d := time.Since(start); least[i] == 0 || d < least[i] {
					least[i] = d
				}
				i++
			}
			worst := time.Duration(0)
			for _, d := range least {
				worst = max(worst, d)
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "ms/step")
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New("DPM++ 2M Karras", SDXLDefaults()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewRun(b *testing.B) {
	s, err := New("DPM++ 2M Karras", SDXLDefaults())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.NewRun(RunOptions{NumInferenceSteps: 25}); err != nil {
			b.Fatal(err)
		}
	}
}
