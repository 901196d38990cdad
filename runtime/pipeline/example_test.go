package pipeline_test

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// A program's own tests run on the fake backend, which needs neither weights nor libdaguerre.
func Example() {
	ctx := context.Background()
	pipe, err := pipeline.Open(ctx, pipeline.Config{}, pipeline.WithBackend(&fake.Backend{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pipe.Close()
	out, err := pipe.Generate(ctx,
		request.Request{Prompt: "a lighthouse in fog", Width: 256, Height: 128, NumInferenceSteps: 2, NumImages: 2, Seed: 7},
		pipeline.WithProgress(func(p pipeline.Progress) { fmt.Println(p.Stage, p.Step, "of", p.Steps) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, img := range out.Images {
		fmt.Println(img.Index, img.Seed, img.Bounds().Dx(), img.Bounds().Dy())
	}
	// Output:
	// text 0 of 2
	// denoise 0 of 2
	// denoise 1 of 2
	// denoise 2 of 2
	// decode 2 of 2
	// done 2 of 2
	// 0 7 256 128
	// 1 8 256 128
}

// A Batcher makes the pictures of many requests. Those that agree in size, steps and scheduler are computed together.
func ExampleBatcher() {
	ctx := context.Background()
	pipe, err := pipeline.Open(ctx, pipeline.Config{}, pipeline.WithBackend(&fake.Backend{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pipe.Close()
	b := pipeline.NewBatcher(pipeline.BatcherOptions{Paused: true, OnEvent: func(e pipeline.BatchEvent) {
		if e.Kind == "batch_started" {
			fmt.Println("a batch of", e.Size)
		}
	}}, pipe)
	defer b.Close()
	var jobs []*pipeline.BatchJob
	for i, prompt := range []string{"a lighthouse in fog", "a red circle"} {
		plan, err := b.Plan(request.Request{Prompt: prompt, Width: 64, Height: 64, NumInferenceSteps: 2, NumImages: 2, Seed: int64(10 * i)})
		if err != nil {
			fmt.Println(err)
			return
		}
		job, err := b.Submit(ctx, plan, pipeline.JobOptions{Name: prompt, OnImage: func(img pipeline.Image) error {
			fmt.Println(prompt, img.Index, img.Seed)
			return nil
		}})
		if err != nil {
			fmt.Println(err)
			return
		}
		jobs = append(jobs, job)
	}
	b.Resume()
	for _, job := range jobs {
		if err := job.Wait(ctx); err != nil {
			fmt.Println(err)
		}
	}
	// Unordered output:
	// a batch of 4
	// a lighthouse in fog 0 0
	// a lighthouse in fog 1 1
	// a red circle 0 10
	// a red circle 1 11
}

// Plan reads headers only. It says how large pictures, batches and memory would be.
func ExamplePlan() {
	plan, err := pipeline.Plan(context.Background(), pipeline.Config{Model: pipeline.NanoModel, Device: "cpu"},
		[]request.Request{{Prompt: "a red circle on a blue background", NumImages: 5, MaxBatch: 3}})
	if err != nil {
		fmt.Println(err)
		return
	}
	job := plan.Sizes[0]
	fmt.Printf("%d pictures of %d x %d, the largest batch has %d\n", job.Images, job.Width, job.Height, plan.Jobs[0].Batch)
	fmt.Println(plan.Strategy)
	// Output:
	// 5 pictures of 128 x 128, the largest batch has 3
	// all weights resident
}
