package main

import (
	"context"
	_ "embed" // the commands
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

//go:embed inputs.txt
var commands string

// copies are files of the repository that are damaged as they are.
var copies = []string{"tools/recorder/inputs/photo.png", "tools/recorder/inputs/mask.png", "tools/recorder/inputs/latents.npy",
	"tools/recorder/inputs/sparkle.safetensors", "internal/picture/testdata/formats/lossy.webp",
	"internal/picture/testdata/formats/animated.gif", "models/nano/nano-taesd.safetensors=taesd.safetensors",
	"models/nano/nano-lora-outline.safetensors=lora.safetensors"}

// runs are run files.
var runs = map[string]string{
	"run.toml": "num_images = 1\nscheduler = \"euler\"\nguidance_scale = 5.0\nnegative_prompt = \"blue\"\n[scheduler_options]\n" +
		"use_karras_sigmas = true\n[model]\nmodel = \"nano\"\nprecision = \"auto\"\n[hires]\nscale = 1.5\n",
	"run.json": `{"model": {"model": "nano"}, "jobs": [{"prompt": "a", "num_inference_steps": 2, "sigmas": "karras", "clip_skip": 1}]}`,
	"control.toml": "[model]\nmodel = \"nano\"\n[[controlnet]]\nmodel = \"FILE\"\nimage = \"IN/photo.png\"\n" +
		"preprocessor = \"canny\"\n",
}

// makeInputs fills a folder with the sound files.
func makeInputs(ctx context.Context, program, dir string) error {
	err := os.MkdirAll(dir, 0o755)
	for _, c := range copies {
		from, to, renamed := strings.Cut(c, "=")
		if !renamed {
			to = filepath.Base(from)
		}
		data, readErr := os.ReadFile(from)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(dir, to), data, 0o600))
	}
	for name, text := range runs {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		return fmt.Errorf("%w (run in the root of the checkout)", err)
	}
	for line := range strings.Lines(commands) {
		cmd := exec.CommandContext(ctx, program, strings.Fields(strings.ReplaceAll(line, "IN/", dir+"/"))...)
		if _, err := tool.Output(cmd); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}
