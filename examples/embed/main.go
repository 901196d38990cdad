// Command embed is a complete program that makes a picture; try it with "go run ./examples/embed".
// It uses the embedded demo model; put a checkpoint's path in its place for real pictures.
package main

import (
	"context"
	"fmt"
	"image/png"
	"log"
	"os"
	"os/signal"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func main() {
	if err := run("a red circle on a blue background", "embed.png"); err != nil {
		log.Fatal(err)
	}
}

func run(prompt, file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // Ctrl-C cancels the computation
	defer stop()
	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: pipeline.NanoModel})
	if err != nil {
		return err
	}
	defer pipe.Close()
	out, err := pipe.Generate(ctx, request.Request{Prompt: prompt, NumInferenceSteps: 20, Seed: 42},
		pipeline.WithProgress(func(p pipeline.Progress) { fmt.Println(p.Stage, p.Step, "of", p.Steps, p.ETA) }))
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return png.Encode(f, out.Images[0])
}
