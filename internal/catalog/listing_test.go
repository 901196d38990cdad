package catalog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestNamesReadAsTheFiles reads runs with a catalog of files and with one of their names: the runs are the same, and so are the mistakes.
func TestNamesReadAsTheFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	in("loras/style/ink.safetensors", "x")
	in("loras/inkwell.safetensors", "x")
	in("vaes/fix.safetensors", "x")
	styles := in("styles.csv", "name,prompt,negative_prompt\nnoir,\"{prompt}, black and white\",colour\n")
	fast := in("fast.toml", "num_inference_steps = 4\nguidance_scale = 1.5\nscheduler = \"LCM\"\nwidth = 64\n[model]\nmodel = \"nano\"\n")
	files, err := New(Options{Models: []string{"nano", "fast=" + fast}, LoRAs: []string{filepath.Join(dir, "loras")},
		VAEs: []string{filepath.Join(dir, "vaes")}, Styles: []string{styles}})
	require.NoError(t, err)
	listing, err := files.Listing()
	require.NoError(t, err)
	data, err := json.Marshal(listing)
	require.NoError(t, err)
	assert.NotContains(t, string(data), dir, "a listing has names only")
	var read Listing
	require.NoError(t, json.Unmarshal(data, &read))
	names, err := Names(read, read)
	require.NoError(t, err)
	assert.True(t, names.Remote())
	assert.False(t, files.Remote())
	for _, body := range []string{
		`{"prompt": "x", "seed": 1, "model": "nano"}`, `{"prompt": "x", "seed": 1, "model": "fast"}`,
		`{"prompt": "x", "seed": 1, "model": "fast", "steps": 7}`,
		`{"prompt": "x", "seed": 1, "model": "nano", "lora": [{"name": "style/ink", "weight": 0.5}]}`,
		`{"prompt": "<lora:ink:1> x", "seed": 1, "model": "nano"}`,
		`{"prompt": "x", "seed": 1, "model": {"model": "nano", "vae": "fix"}}`,
		`{"prompt": "x", "seed": 1, "model": "nano", "styles": ["noir"]}`,
		`{"prompt": "x", "model": "other"}`, `{"prompt": "x", "model": "nano", "lora": [{"name": "none"}]}`,
		`{"prompt": "x", "model": {"model": "nano", "vae": "none"}}`, `{"prompt": "x", "model": {"model": "nano", "unet": "/etc/passwd"}}`,
		`{"prompt": "x", "model": "nano", "lora": [{"path": "/etc/passwd"}]}`, `{"prompt": "x", "model": "fast", "width": 63}`,
	} {
		want, wanted, _, errWant := files.Decode([]byte(body))
		got, found, _, errGot := names.Decode([]byte(body))
		assert.Equal(t, errWant == nil, errGot == nil, "%s: %v, %v", body, errWant, errGot)
		if errWant != nil {
			continue
		}
		assert.Equal(t, wanted.Name, found.Name)
		a, err := want.EncodeJSON(request.SnakeCase)
		require.NoError(t, err)
		b, err := got.EncodeJSON(request.SnakeCase)
		require.NoError(t, err)
		assert.Equal(t, string(a), string(b))
	}
	for _, kind := range kinds {
		a, err := files.List(kind)
		require.NoError(t, err)
		b, err := names.List(kind)
		require.NoError(t, err)
		assert.ElementsMatch(t, a, b, kind)
	}
	m, ok := names.Find("nano")
	require.True(t, ok)
	s, err := names.Styles(m)
	require.NoError(t, err)
	require.Len(t, s, 1)
	assert.Equal(t, "noir", s[0].Name)
	run, _, _, err := names.Decode([]byte(`{"prompt": "x", "model": "nano"}`))
	require.NoError(t, err)
	assert.ErrorIs(t, names.Resolve(&run, nil), request.ErrInvalid)
}

// TestClashes has workers whose models of one name differ: in the file, or in the defaults.
func TestClashes(t *testing.T) {
	dir := t.TempDir()
	list := func(sub, file, steps string) Listing {
		path := filepath.Join(dir, sub)
		require.NoError(t, os.MkdirAll(path, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(path, "m.safetensors"), []byte(file), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(path, "f.toml"), []byte("num_inference_steps = "+steps+"\nmodel = \"nano\"\n"), 0o644))
		c, err := New(Options{ModelDirs: []string{path}, Models: []string{"f=" + filepath.Join(path, "f.toml")}})
		require.NoError(t, err)
		l, err := c.Listing()
		require.NoError(t, err)
		return l
	}
	a, b, c, d := list("a", "one", "4"), list("b", "one", "4"), list("c", "two", "4"), list("d", "one", "5")
	assert.Empty(t, ClashesOf([]Listing{a, b}).String())
	assert.Equal(t, "models m", ClashesOf([]Listing{a, b, c}).String())
	assert.Equal(t, "models f", ClashesOf([]Listing{a, d}).String())
	run := []byte(`{"model":"m","prompt":"x"}`)
	same, err := Names(a, b)
	require.NoError(t, err)
	_, _, _, err = same.Decode(run)
	require.NoError(t, err)
	differ, err := Names(a, c)
	require.NoError(t, err)
	_, _, _, err = differ.Decode(run)
	require.ErrorContains(t, err, `workers have different files, or defaults, under the name "m"`)
	_, _, _, err = differ.Decode([]byte(`{"model":"f","prompt":"x"}`))
	require.NoError(t, err, "the other model is the same")
}

// TestFilesClash has two machines whose files of each kind differ under one name: in their first bytes, far behind, or at the end; a server
// that has files itself and one that has none refuse what names them, and nothing else.
func TestFilesClash(t *testing.T) {
	const size = 3 * beginning
	machine := func(change func(data []byte)) (*Catalog, Listing) {
		dir := t.TempDir()
		at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
		for _, kind := range kinds {
			require.NoError(t, os.MkdirAll(at(string(kind)), 0o755))
			data := make([]byte, size)
			require.NoError(t, os.WriteFile(at(string(kind), "same.safetensors"), data, 0o644))
			change(data)
			require.NoError(t, os.WriteFile(at(string(kind), "other.safetensors"), data, 0o644))
		}
		c, err := New(Options{Models: []string{"nano"}, LoRAs: []string{at("lora")}, Nets: []string{at("controlnet")},
			IPAdapters: []string{at("ip_adapter")}, Embeddings: []string{at("embedding")}, VAEs: []string{at("vae")},
			Refiners: []string{at("refiner")}, Upscalers: []string{at("upscaler")},
			Detectors: []string{at("detector")}})
		require.NoError(t, err)
		l, err := c.Listing()
		require.NoError(t, err)
		return c, l
	}
	files, plain := machine(func([]byte) {})
	for name, place := range map[string]int{"first": 0, "end": size - 1} {
		_, changed := machine(func(data []byte) { data[place] = 1 })
		clashes := ClashesOf([]Listing{plain, changed})
		for _, kind := range kinds {
			assert.Equal(t, []string{"other"}, clashes.Files[kind], "%s %s", name, kind)
		}
		assert.Empty(t, clashes.Models)
		files.SetClashes(clashes)
		names, err := Names(plain, changed)
		require.NoError(t, err)
		for _, c := range []*Catalog{files, names} {
			for _, body := range []string{`"lora": [{"name": "%s"}]`, `"model": {"model": "nano", "vae": "%s"}`,
				`"model": {"model": "nano", "refiner": "%s"}`, `"model": {"model": "nano", "upscaler": "%s"}`, `"negative_prompt": "an %s"`,
				`"controlnet": [{"model": "%s", "image": "data:image/png;base64,AA=="}]`,
				`"ip_adapter": [{"model": "%s", "image": "data:image/png;base64,AA=="}]`,
				`"detail": [{"detector": "%s", "prompt": "x"}]`} {
				_, _, _, err := c.Decode(fmt.Appendf(nil, `{"prompt": "x", `+body+`}`, "other"))
				assert.ErrorContains(t, err, "workers have different files", body)
				_, _, _, err = c.Decode(fmt.Appendf(nil, `{"prompt": "x", `+body+`}`, "same"))
				if err != nil {
					assert.NotContains(t, err.Error(), "workers have different files", body)
				}
			}
		}
	}
	files.SetClashes(Clashes{})
	_, _, _, err := files.Decode([]byte(`{"prompt": "x", "lora": [{"name": "other"}]}`))
	assert.NoError(t, err, "the files are the same again")
}

// TestNamesOfModelsThatCouldBeFetched has one machine with a model that another one could fetch: names know it, and once, as it is there.
func TestNamesOfModelsThatCouldBeFetched(t *testing.T) {
	fast := filepath.Join(t.TempDir(), "fast.toml")
	require.NoError(t, os.WriteFile(fast, []byte("num_inference_steps = 4\n[model]\nmodel = \"nano\"\n"), 0o644))
	fetches, err := New(Options{Fetch: []string{"far=owner/name", "fast=owner/fast"}})
	require.NoError(t, err)
	assert.Empty(t, fetches.Models(), "nothing of it is there")
	has, err := New(Options{Models: []string{"fast=" + fast}})
	require.NoError(t, err)
	var lists []Listing
	for _, c := range []*Catalog{fetches, has} {
		l, err := c.Listing()
		require.NoError(t, err)
		data, err := json.Marshal(l)
		require.NoError(t, err)
		assert.NotContains(t, string(data), "owner/")
		lists = append(lists, l)
	}
	assert.Empty(t, ClashesOf(lists).Models)
	names, err := Names(lists...)
	require.NoError(t, err)
	require.Len(t, names.Models(), 2)
	far, ok := names.Find("far")
	require.True(t, ok)
	assert.Equal(t, request.Default().NumInferenceSteps, far.Defaults.Job.NumInferenceSteps)
	known, _ := names.Find("fast")
	assert.Equal(t, 4, known.Defaults.Job.NumInferenceSteps, "as the machine has it that has it")
	_, err = New(Options{Models: []string{"far=" + fast}, Fetch: []string{"far=owner/name"}})
	assert.ErrorContains(t, err, "two models are called far")
}
