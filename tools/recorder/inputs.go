package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// commands write models: other formats of nano, and random ones.
const commands = `models convert nano INPUTS/nano-q8.gguf --type q8_0
models convert nano INPUTS/nano-f32.safetensors --type f32
models synth --kind nano --seed 1 -o INPUTS/random.ckpt
models synth --kind nano --seed 2 -o INPUTS/random-folder/
models synth --kind nano --seed 3 --layout diffusers -o INPUTS/random-names.safetensors
models synth --kind nano-controlnet --seed 4 -o INPUTS/net.safetensors
models synth --kind nano-controlnet-union --seed 5 -o INPUTS/union.safetensors
models synth --kind esrgan --seed 6 -o INPUTS/esrgan.safetensors
lora fuse nano --lora models/nano/nano-lora-outline.safetensors:0.8 -o INPUTS/fused.safetensors`

// makeInputs fills a folder with the inputs and returns their hashes.
func makeInputs(ctx context.Context, program, dir string) (entries, error) {
	if err := os.CopyFS(dir, os.DirFS("tools/recorder/inputs")); err != nil {
		return nil, fmt.Errorf("%w (run in the root of the checkout)", err)
	}
	refiner, err := tool.Output(exec.CommandContext(ctx, "gzip", "-dc", "models/nano/nano-refiner.safetensors.gz"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "refiner.safetensors"), refiner, 0o600), inpaint9(ctx, dir)); err != nil {
		return nil, err
	}
	for line := range strings.Lines(commands) {
		args := strings.Fields(strings.ReplaceAll(line, "INPUTS", dir))
		if _, err := tool.Output(exec.CommandContext(ctx, program, args...)); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	made, err := os.ReadDir(dir)
	all := entries{}
	for _, f := range made {
		hash, hashErr := hashTree(filepath.Join(dir, f.Name()))
		err = errors.Join(err, hashErr, all.add(hash, "inputs", f.Name()))
	}
	return all, err
}

// inpaint9 makes the nano model with a UNet of nine input channels, by the rule of tools/goldens/inpaint9.py.
func inpaint9(ctx context.Context, dir string) error {
	base, err := nano.Path(ctx)
	if err != nil {
		return err
	}
	f, err := modelfile.Open(base)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var tensors []writer.Tensor
	var header, data bytes.Buffer
	for _, t := range slices.SortedFunc(slices.Values(f.Tensors), func(a, b modelfile.Tensor) int { return strings.Compare(a.Name, b.Name) }) {
		raw, err := f.ReadRaw(t.Name)
		if err != nil {
			return err
		}
		if shape := t.Shape; t.Name == "model.diffusion_model.input_blocks.0.0.weight" {
			raw = widened(raw, int(shape[0]), int(5*shape[2]*shape[3]))
			t.Shape = []int64{shape[0], 9, shape[2], shape[3]}
		}
		tensors = append(tensors, writer.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Size: int64(len(raw))})
		data.Write(raw)
	}
	if err := writer.SafetensorsHeader(&header, tensors, f.Metadata); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "inpaint9.safetensors"), append(header.Bytes(), data.Bytes()...), 0o600)
}

// widened adds so many float16 values to each row.
func widened(raw []byte, rows, extra int) (out []byte) {
	n := 0
	for row := range slices.Chunk(raw, len(raw)/rows) {
		out = append(out, row...)
		for range extra {
			out = binary.LittleEndian.AppendUint16(out, modelfile.Float32ToHalf(float32(0.05*math.Sin(float64(n)))))
			n++
		}
	}
	return out
}
