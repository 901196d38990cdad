//go:build unix && !race

package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// pipeKeys are the keys of a run file that name files to read, with a line of TOML in which %s is the name. A folder that is searched has
// the pipe in it.
var pipeKeys = map[string]string{
	"prompt_file":                 "prompt_file = '%s'",
	"styles":                      "prompt = 'x'\nstyles = ['ink']\n[model]\nmodel = 'nano'\nstyle_files = ['%s']",
	"model.style_files":           "prompt = 'x'\nstyles = ['ink']\n[model]\nmodel = 'nano'\nstyle_files = ['FOLDER/other.csv', '%s']",
	"model.wildcard_directories":  "prompt = '__pipe__'\n[model]\nmodel = 'nano'\nwildcard_directories = ['FOLDER']",
	"init_image":                  "init_image = '%s'",
	"mask_image":                  "init_image = 'PICTURE'\nmask_image = '%s'",
	"noise":                       "noise = '%s'",
	"latents":                     "latents = '%s'",
	"controlnet.model":            "[[controlnet]]\nmodel = '%s'\nimage = 'PICTURE'",
	"controlnet.image":            "[[controlnet]]\nmodel = 'none'\nimage = '%s'",
	"ip_adapter.model":            "[[ip_adapter]]\nmodel = '%s'\nimages = ['PICTURE']",
	"ip_adapter.embeds":           "[[ip_adapter]]\nmodel = 'PICTURE'\nembeds = '%s'",
	"ip_adapter.faces":            "[[ip_adapter]]\nmodel = 'PICTURE'\nfaces = '%s'",
	"ip_adapter.images":           "[[ip_adapter]]\nmodel = 'PICTURE'\nimages = ['%s']",
	"ip_adapter.masks":            "[[ip_adapter]]\nmodel = 'PICTURE'\nimages = ['PICTURE']\nmasks = ['%s']",
	"ip_adapter.image_encoder":    "[[ip_adapter]]\nmodel = 'FOLDER/pipe.safetensors'\nimages = ['PICTURE']\nimage_encoder = '%s'",
	"region.mask":                 "prompt = 'x'\n[[region]]\nprompt = 'x'\nmask = '%s'",
	"detail.mask":                 "prompt = 'x'\n[[detail]]\nmask = '%s'",
	"detail.detector":             "prompt = 'x'\n[[detail]]\nstrength = 1.0\ndetector = '%s'",
	"lora.path":                   "[[lora]]\npath = '%s'",
	"lora.name":                   "[[lora]]\nname = '%s'",
	"model.model":                 "[model]\nmodel = '%s'",
	"model.unet":                  "[model]\nmodel = 'nano'\nunet = '%s'",
	"model.text_encoder":          "[model]\nmodel = 'nano'\ntext_encoder = '%s'",
	"model.text_encoder_2":        "[model]\nmodel = 'nano'\ntext_encoder_2 = '%s'",
	"model.vae":                   "[model]\nmodel = 'nano'\nvae = '%s'",
	"model.taesd":                 "[model]\nmodel = 'nano'\ntaesd = '%s'",
	"model.upscaler":              "[model]\nmodel = 'nano'\nupscaler = '%s'",
	"model.refiner":               "[model]\nmodel = 'nano'\nrefiner = '%s'",
	"model.embeddings":            "[model]\nmodel = 'nano'\nembeddings = ['%s']",
	"model.embedding_directories": "prompt = 'pipe'\n[model]\nmodel = 'nano'\nembedding_directories = ['FOLDER']",
	"model.model_directories":     "[model]\nmodel = 'pipe'\nmodel_directories = ['FOLDER']",
	"model.lora_directories":      "prompt = '<lora:pipe:1>'\n[model]\nmodel = 'nano'\nlora_directories = ['FOLDER']",
	"model.controlnet_directories": "[[controlnet]]\nmodel = 'pipe'\nimage = 'PICTURE'\n" +
		"[model]\nmodel = 'nano'\ncontrolnet_directories = ['FOLDER']",
}

// notRead are the keys whose meaning speaks of files that are not read, or are none of the user's.
var notRead = []string{"output", "save_latents", "ip_adapter.save_embeds", "metadata", "model.refiner_on_demand", "lora_stack.strict",
	"model.memory.strategy", "controlnet.union_joined"}

// TestNoPipeIsWaitedFor gives every key and command that reads a file a named pipe that nobody writes to.
func TestNoPipeIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.safetensors")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.txt"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other.csv"), []byte("name,prompt\n"), 0o600))
	picture := filepath.Join("..", "..", "..", "internal", "picture", "testdata", "formats", "grey.png")
	for _, k := range request.Keys() {
		key := k.Name
		if k.Table != "" {
			key = k.Table + "." + key
		}
		if _, listed := pipeKeys[key]; !listed && (k.Type == "path" || strings.Contains(k.Doc, "file") || strings.Contains(k.Doc, "searched")) {
			assert.Contains(t, notRead, key, "does it name a file? Then it belongs into pipeKeys")
		}
	}
	within := func(name string, want int, args ...string) *bench {
		t.Helper()
		b := newBench(t)
		b.real = true // the fake opens no files
		b.plan = func(cfg pipeline.Config, jobs []request.Request) (pipeline.MemoryPlan, error) {
			return pipeline.Plan(b.ctx, cfg, jobs)
		}
		done := make(chan int, 1)
		go func() { done <- b.run(args...) }()
		select {
		case code := <-done:
			assert.Equal(t, want, code, "%s: %s", name, b.stderr)
		case <-time.After(time.Minute):
			t.Fatalf("%s waits for a pipe", name)
		}
		return b
	}
	for key, text := range pipeKeys {
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, pipe)
		}
		text = strings.NewReplacer("PICTURE", picture, "FOLDER", dir).Replace(text)
		if !strings.Contains(text, "prompt") {
			text = "prompt = 'x'\n" + text
		}
		if !strings.Contains(text, "[model]") {
			text = "model = 'nano'\n" + text
		}
		file := filepath.Join(t.TempDir(), "run.toml")
		require.NoError(t, os.WriteFile(file, []byte("width = 64\nheight = 64\nnum_inference_steps = 1\n"+text), 0o600))
		want, says := ExitFile, pipe+": is a named pipe"
		switch key { // what is searched has no such file
		case "model.embedding_directories":
			want, says = ExitOK, ""
		case "model.model_directories":
			says = "none of the 0 models"
		case "model.lora_directories":
			says = "none of the 0 adapters"
		case "model.wildcard_directories":
			says = "there is no wildcard pipe"
		case "model.controlnet_directories":
			says = "no ControlNet of that name"
		}
		b := within(key, want, "generate", "-c", file, "-o", filepath.Join(t.TempDir(), "x.png"))
		assert.Contains(t, b.stderr, says, key)
	}
	out := filepath.Join(dir, "out.safetensors")
	for _, args := range []string{"generate -c PIPE", "plan -c PIPE", "plan --model PIPE", "request validate PIPE", "request normalize PIPE",
		"control preprocess PIPE -p canny -o OUT.png", "upscale PIPE --model nano -o OUT.png", "upscale PICTURE --model PIPE -o OUT.png",
		"vae check PIPE", "vae check nano PIPE", "models inspect PIPE", "models convert PIPE OUT --type f16", "lora inspect PIPE",
		"lora fuse PIPE --lora x -o OUT", "bench compare PIPE PIPE", "bench --model PIPE", "generate -m nano --lora PIPE -p x -o OUT.png"} {
		line := strings.NewReplacer("PIPE", pipe, "PICTURE", picture, "OUT", out).Replace(args)
		b := within(args, ExitFile, strings.Fields(line)...)
		assert.Contains(t, b.stderr, "is a named pipe", args)
	}
}
