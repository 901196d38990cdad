package catalog

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// checked are the fields of a run that name a file, or may: check refuses what a client may not name, and TestNoPathOfTheServer of
// cli/internal/serve tries each. model: all fields of a model but these are refused.
var checked = []string{
	"Request.InitImage", "Request.MaskImage", "Request.Latents", "Request.Noise", "Request.SaveLatents", "Request.Output",
	"Request.Prompt", "Request.Prompt2", // tags of adapters, and wildcards
	"Request.NegativePrompt", "Request.NegativePrompt2", // wildcards
	"Request.Styles",
	"Adapter.Name", "Adapter.Path", "ControlNet.Model", "ControlNet.Image", "Request.PromptFile",
	"IPAdapter.Model", "IPAdapter.ImageEncoder", "IPAdapter.Images", "IPAdapter.Masks", "IPAdapter.Embeds", "IPAdapter.Faces",
	"IPAdapter.SaveEmbeds",
	"Detail.Mask", "Detail.Detector", "Detail.Prompt", "Detail.NegativePrompt", // tags of adapters and wildcards are refused
	"Region.Mask", "Region.Prompt", // wildcards; tags of adapters are refused
}

// plain are the fields that name no file: texts, words that are checked, and options of Go's own types.
var plain = []string{
	"Request.PromptSyntax", "Request.RNG", "Request.Scheduler", "Request.Sigmas",
	"Request.SchedulerOptions", "Request.MaskChannel", "Request.Seamless", "Request.RefinerMode", "Request.RegionMode",
	"Request.GuidanceBatch", "Hires.Upscaler",
	"Guidance.Method", "TiledDiffusion.Method", "PAG.AppliedLayers", "SEG.AppliedLayers",
	"Inpaint.Fill", "Adapter.BlockWeights", "ControlNet.ControlMode", "ControlNet.ResizeMode", "ControlNet.Preprocessor",
	"ControlNet.PreprocessorOptions",
	"ControlNet.UnionType", "IPAdapter.BlockWeights",
}

// TestEveryFieldIsKnown fails for a field that may hold a path and that nobody has thought of here. Fields of a model need no mention: all
// that check does not know are refused.
func TestEveryFieldIsKnown(t *testing.T) {
	known := map[string]bool{}
	for _, name := range append(append([]string{}, checked...), plain...) {
		known[name] = true
	}
	seen := map[string]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			inner := f.Type
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			name := typ.Name() + "." + f.Name
			switch {
			case !f.IsExported():
			case inner == reflect.TypeFor[request.Picture](), inner == reflect.TypeFor[request.Array](),
				inner.Kind() == reflect.String, inner.Kind() == reflect.Map, inner.Kind() == reflect.Interface:
				seen[name] = true
				assert.True(t, known[name], "%s may hold a path: check it in catalog.check and add it to checked, or to plain", name)
			case inner.Kind() == reflect.Struct:
				walk(inner)
			}
		}
	}
	walk(reflect.TypeFor[request.Request]())
	for name := range known {
		assert.True(t, seen[name], "%s is no field any more", name)
	}
}

// TestModelFields sets each field of a model: but for names of listed files, all are the server's.
func TestModelFields(t *testing.T) {
	c, err := New(Options{Models: []string{"nano"}})
	require.NoError(t, err)
	typ := reflect.TypeFor[request.Model]()
	for i := range typ.NumField() {
		run := request.Run{Jobs: []request.Request{{Prompt: "x"}}}
		field := reflect.ValueOf(&run.Model).Elem().Field(i)
		set(field)
		var errs request.Errors
		c.check(&run, &errs)
		if key := typ.Field(i).Tag.Get("key"); key != "model" { // Decode looks for it among the models
			assert.Len(t, errs, 1, key)
		}
	}
}

// set gives a field a value that is not zero.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("../x")
	case reflect.Int:
		v.SetInt(3)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		set(v.Field(0))
	}
}

// TestTags names adapters in prompts: those in the folders only.
func TestTags(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ink.safetensors"), []byte("x"), 0o600))
	inside := filepath.Join(dir, "loras")
	require.NoError(t, os.Mkdir(inside, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(inside, "style.safetensors"), []byte("x"), 0o600))
	c, err := New(Options{Models: []string{"nano"}, LoRAs: []string{inside}})
	require.NoError(t, err)
	for prompt, ok := range map[string]bool{"a <lora:style:0.5>": true, "a <lora:STYLE>": true, "<lora:../ink:1>": false,
		"<lora:" + filepath.Join(dir, "ink.safetensors") + ":1>": false, "<lora:ink>": false, "<lora:/etc/passwd:1>": false, "a": true} {
		for _, key := range []string{"prompt", "prompt_2"} {
			text := `{"prompt": "x", "` + key + `": "` + prompt + `"}`
			if key == "prompt" {
				text = `{"prompt": "` + prompt + `"}`
			}
			_, _, _, err := c.Decode([]byte(text))
			assert.Equal(t, ok, err == nil, "%s: %v", text, err)
		}
	}
	run, _, _, err := c.Decode([]byte(`{"prompt": "x", "lora": [{"name": "style"}]}`))
	require.NoError(t, err)
	require.NoError(t, c.Resolve(&run, nil))
	assert.Equal(t, filepath.Join(inside, "style.safetensors"), run.Jobs[0].LoRAs[0].Path)
	assert.Equal(t, []string{inside}, run.Model.LoRADirectories)
}
