package bench_test

import (
	"context"
	"fmt"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// Two types of one model, in two rounds, on the fake backend. Leave WithBackend out to measure libdaguerre.
func Example() {
	cases, err := bench.Axes{Models: []bench.Model{{Label: "base", Types: []string{"f16", "q8_0"}}},
		Sizes:   []bench.Size{{Width: 64, Height: 64}},
		Batches: []int{2}, Devices: []string{"cpu"}, Schedulers: []string{"EulerDiscrete"}}.Cases()
	if err != nil {
		fmt.Println(err)
		return
	}
	open := func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error) {
		return pipeline.Open(ctx, cfg, append(opts, pipeline.WithBackend(&fake.Backend{}))...)
	}
	plan := bench.Plan{Cases: cases, Rounds: 2, Now: time.Now, Session: func(c bench.Case) bench.Session {
		return bench.Session{Case: c, Path: "base.safetensors", Steps: 3, Prompts: []bench.Prompt{{Prompt: "a lighthouse", Seed: 7}}}
	}}
	results, rounds, err := bench.Run(context.Background(), plan, func(ctx context.Context, s bench.Session) (bench.Outcome, error) {
		return bench.Measure(ctx, open, bench.Probe{}, s)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Key, "rounds", rounds, "steps", r.Step.N)
	}
	// Output:
	// base f16 64x64 batch 2 cpu EulerDiscrete rounds 2 steps 6
	// base q8_0 64x64 batch 2 cpu EulerDiscrete rounds 2 steps 6
}
