package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// inputs are the files that runs use.
type inputs struct {
	dir        string
	schedulers []string
	entries    entries // hashes of what was made
}

// file is the name of an input that was made.
func (in inputs) file(name string) string { return filepath.Join(in.dir, name) }

// repo is the name of a file of the checkout.
func repo(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// makeInputs makes all inputs.
func makeInputs(ctx context.Context, program, dir string) (inputs, error) {
	in := inputs{dir: filepath.Join(dir, "inputs"), entries: entries{}}
	if err := os.MkdirAll(in.dir, 0o755); err != nil {
		return in, err
	}
	steps := []func() error{in.pictures, in.arrays, in.embedding, in.refiner,
		func() error { return in.inpaint9(ctx) },
		func() error { return in.programs(ctx, program) },
		func() error { return in.listSchedulers(ctx, program) }}
	for _, step := range steps {
		if err := step(); err != nil {
			return in, err
		}
	}
	made, err := os.ReadDir(in.dir)
	if err != nil {
		return in, err
	}
	for _, f := range made {
		hash, err := hashTree(in.file(f.Name()))
		if err != nil {
			return in, err
		}
		if err := in.entries.add(hash, "inputs", f.Name()); err != nil {
			return in, err
		}
	}
	return in, nil
}

// pictures makes pictures to start from, masks and control pictures.
func (in inputs) pictures() error {
	scene := func(w, h int) *image.NRGBA {
		img := image.NewNRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				c := color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(3 * (x ^ y)), 255}
				if (x-w/3)*(x-w/3)+(y-h/2)*(y-h/2) < h*h/9 {
					c = color.NRGBA{220, 30, 40, 255}
				}
				img.SetNRGBA(x, y, c)
			}
		}
		return img
	}
	mask, edges := image.NewGray(image.Rect(0, 0, 64, 64)), image.NewGray(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			if x > 20 && x < 50 && y > 12 && y < 40 {
				mask.Pix[y*mask.Stride+x] = 255
			}
			if d := (x-32)*(x-32) + (y-32)*(y-32); d > 300 && d < 360 {
				edges.Pix[y*edges.Stride+x] = 255
			}
		}
	}
	for name, img := range map[string]image.Image{"photo.png": scene(64, 64), "wide.png": scene(128, 64), "odd.png": scene(75, 53),
		"large.png": scene(128, 128), "mask.png": mask, "edges.png": edges} {
		if err := writePNG(in.file(name), img); err != nil {
			return err
		}
	}
	return nil
}

// normals are random numbers of a fixed seed.
func normals(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, seed))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// arrays makes noise and latents of pictures of 64 x 64.
func (in inputs) arrays() error {
	if err := writeNPY(in.file("noise.npy"), []int{2, 4, 8, 8}, normals(2*256, 1)); err != nil {
		return err
	}
	return writeNPY(in.file("latents.npy"), []int{1, 4, 8, 8}, normals(256, 2))
}

// embedding makes a textual inversion of two vectors for the nano model, and one that does not fit it.
func (in inputs) embedding() error {
	words := func(width int, seed uint64) tensor {
		data := normals(2*width, seed)
		for i := range data {
			data[i] *= 0.05
		}
		return floatTensor([]int{2, width}, data)
	}
	for name, width := range map[string]int{"sparkle": 64, "misfit": 32} {
		parts := map[string]tensor{"clip_l": words(width, 3), "clip_g": words(width, 4)}
		if err := writeTensors(in.file(name+".safetensors"), parts, nil); err != nil {
			return err
		}
	}
	return nil
}

// refiner unpacks the nano refiner.
func (in inputs) refiner() error {
	f, err := os.Open("models/nano/nano-refiner.safetensors.gz")
	if err != nil {
		return fmt.Errorf("%w (run in the root of the checkout)", err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return os.WriteFile(in.file("refiner.safetensors"), data, 0o600)
}

// inpaint9 makes the nano model with a UNet of nine input channels, by the rule of tools/goldens/inpaint9.py.
func (in inputs) inpaint9(ctx context.Context) error {
	base, err := nanoFile(ctx)
	if err != nil {
		return err
	}
	tensors, metadata, err := readTensors(base)
	if err != nil {
		return err
	}
	const name = "model.diffusion_model.input_blocks.0.0.weight"
	conv := tensors[name]
	if len(conv.Shape) != 4 || conv.Shape[1] != 4 || conv.DType != "F16" {
		return fmt.Errorf("%s is %s %v", name, conv.DType, conv.Shape)
	}
	out, kernel := conv.Shape[0], conv.Shape[2]*conv.Shape[3]
	per, extra := len(conv.data)/out, 5*kernel
	var data []byte
	for o := range out {
		data = append(data, conv.data[o*per:(o+1)*per]...)
		for k := range extra {
			half := halfOf(float32(0.05 * math.Sin(float64(o*extra+k))))
			data = append(data, byte(half), byte(half>>8))
		}
	}
	conv.Shape = []int{out, 9, conv.Shape[2], conv.Shape[3]}
	conv.data = data
	tensors[name] = conv
	return writeTensors(in.file("inpaint9.safetensors"), tensors, metadata)
}

// programs has the program write models: other formats of nano, and random ones.
func (in inputs) programs(ctx context.Context, program string) error {
	for _, args := range [][]string{
		{"models", "convert", "nano", in.file("nano-q8.gguf"), "--type", "q8_0"},
		{"models", "convert", "nano", in.file("nano-f32.safetensors"), "--type", "f32"},
		{"models", "synth", "--kind", "nano", "--seed", "1", "-o", in.file("random.ckpt")},
		{"models", "synth", "--kind", "nano", "--seed", "2", "-o", in.file("random-folder") + "/"},
		{"models", "synth", "--kind", "nano", "--seed", "3", "--layout", "diffusers", "-o", in.file("random-names.safetensors")},
		{"models", "synth", "--kind", "nano-controlnet", "--seed", "4", "-o", in.file("net.safetensors")},
		{"models", "synth", "--kind", "nano-controlnet-union", "--seed", "5", "-o", in.file("union.safetensors")},
		{"models", "synth", "--kind", "esrgan", "--seed", "6", "-o", in.file("esrgan.safetensors")},
		{"lora", "fuse", "nano", "--lora", repo("models/nano/nano-lora-outline.safetensors") + ":0.8", "-o", in.file("fused.safetensors")},
	} {
		if said, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("daguerre %v: %w: %s", args, err, said)
		}
	}
	return nil
}

// listSchedulers asks the program for the names of its schedulers.
func (in *inputs) listSchedulers(ctx context.Context, program string) error {
	text, err := exec.CommandContext(ctx, program, "schedulers", "list", "--json").Output()
	if err != nil {
		return fmt.Errorf("listing schedulers: %w", err)
	}
	var list []struct{ Name string }
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for _, s := range list {
		in.schedulers = append(in.schedulers, s.Name)
	}
	return nil
}
