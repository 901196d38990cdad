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
