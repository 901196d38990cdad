package e2e

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// A field is a file or folder as somebody has it, and what becomes of it. Whoever reports a new one adds a row to one of the tables in the
// files fields_*_test.go. docs/files.md tells people the same.
type field struct {
	name string            // what it is, and who writes it
	role string            // what it is given as: a key of roles
	make func(*kit) string // writes it and returns its path
	ends outcome           // of generating a picture
	says []string          // in the messages
}

// outcome is how a run with a file ends.
type outcome int

const (
	same    outcome = iota // with the picture of the nano model, since it holds the same weights
	noted                  // the same; what is left over may be told
	taken                  // with a picture
	warned                 // with a picture and a warning that says says
	refused                // with exit code 3, and a reason that names the file and says says
)

// roles are the arguments that give a file to the program, beside those of every run.
var roles = map[string]func(k *kit, path string) []string{
	"model":          func(_ *kit, path string) []string { return []string{"--model", path} },
	"unet":           flag("--unet"),
	"vae":            flag("--vae"),
	"text_encoder":   flag("--text-encoder"),
	"text_encoder_2": flag("--text-encoder-2"),
	"refiner": func(_ *kit, path string) []string {
		return []string{"--model", "nano", "--refiner", path, "--steps", "2", "--refiner-start", "0.5"}
	},
	"taesd": func(_ *kit, path string) []string {
		return []string{"--model", "nano", "--taesd", path, "--fast-decode"}
	},
	"upscaler": func(_ *kit, path string) []string {
		return []string{"--model", "nano", "--upscaler", path, "--hires-upscaler", "model", "--hires-scale", "2", "--hires-strength", "1"}
	},
	"size": nil, // too large for a picture here: the headers are looked at, with `models inspect --check`
	"lora": flag("--lora"),
	"embedding": func(_ *kit, path string) []string {
		word := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		return []string{"--model", "nano", "--embedding", path, "--prompt", "a red circle " + word}
	},
	"controlnet": func(k *kit, path string) []string {
		text := fmt.Sprintf("[[controlnet]]\nmodel = %q\nimage = %q\n%s\n", path, k.picture, k.more)
		return []string{"--model", "nano", "-c", k.bytes("control.toml", []byte(text))}
	},
}

// flag gives a file to the nano model.
func flag(name string) func(*kit, string) []string {
	return func(_ *kit, path string) []string { return []string{"--model", "nano", name, path} }
}

// checked are the roles whose files `models inspect --check` judges by the same rule.
var checked = map[string]bool{"model": true, "unet": true, "vae": true, "text_encoder": true, "text_encoder_2": true}

// TestFields gives the program every row of the tables.
func TestFields(t *testing.T) {
	source := newFieldSource(t)
	rows := 0
	for _, table := range [][]field{modelFields, folderFields, brokenFields, unetFields, vaeFields, textFields, netFields, adapterFields,
		embeddingFields, sizeFields, scaledFields, trainedFields, tensorFields} {
		rows += len(table)
		for _, f := range table {
			t.Run(f.role+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				f.test(t, &kit{t: t, dir: t.TempDir(), fieldSource: source})
			})
		}
	}
	assert.GreaterOrEqual(t, rows, 80)
}

func (f field) test(t *testing.T, k *kit) {
	path := f.make(k)
	if f.role == "size" {
		r := run(t, "models", "inspect", "--check", path)
		require.Equal(t, 0, r.code, "%s", r.stderr)
		for _, s := range f.says {
			assert.Contains(t, r.stdout, s)
		}
		return
	}
	out := filepath.Join(t.TempDir(), "out.png")
	given := roles[f.role](k, path)
	args := []string{"generate", "--width", "64", "--height", "64", "--seed", "1", "-o", out}
	for _, def := range [][]string{{"--steps", "1"}, {"--prompt", "a red circle"}} {
		if !slices.Contains(given, def[0]) { // a flag may be given once
			args = append(args, def...)
		}
	}
	r := run(t, append(args, given...)...)
	for _, s := range f.says {
		assert.Contains(t, r.stderr, s)
	}
	if f.ends == refused {
		require.Equal(t, 3, r.code, "%s", r.stderr)
		assert.NotEmpty(t, f.says, "a refusal has a reason")
		assert.Contains(t, r.stderr, filepath.Base(path), "the reason names the file")
		assert.NoFileExists(t, out)
		return
	}
	require.Equal(t, 0, r.code, "%s", r.stderr)
	if f.ends == same || f.ends == taken {
		assert.NotContains(t, strings.ToLower(r.stderr), "warn")
	}
	if img, _ := readPNG(t, out); f.ends <= noted {
		assert.Equal(t, k.right, img, "another picture")
	}
	if _, err := os.Stat(filepath.Join(path, "model_index.json")); checked[f.role] && (err != nil || f.role == "model") {
		r := run(t, "models", "inspect", "--check", path)
		assert.Equal(t, 0, r.code, "%s", r.stderr)
	}
}

// fieldSource is the nano model, which the files are made of, and its picture.
type fieldSource struct {
	nano      *tensors // in the original layout
	canonical *tensors // in diffusers', with the components' names
	right     image.Image
	picture   string
	folder    string // configurations of a diffusers folder
}

func newFieldSource(t *testing.T) *fieldSource {
	t.Helper()
	dir := t.TempDir()
	s := &fieldSource{picture: filepath.Join(dir, "right.png"), folder: filepath.Join(dir, "folder")}
	r := run(t, "generate", "--model", "nano", "--steps", "1", "--width", "64", "--height", "64", "--seed", "1", "-o", s.picture, "--prompt",
		"a red circle")
	require.Equal(t, 0, r.code, "%s", r.stderr)
	s.right, _ = readPNG(t, s.picture)
	paths, err := filepath.Glob(filepath.Join(cacheDir, "nano-base-*.safetensors"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	s.nano = readTensors(t, paths[0])
	s.canonical = canonicalTensors(t, paths[0], s.nano.metadata)
	require.NoError(t, synth.WriteFolder(t.Context(), s.folder, synth.Options{Kind: synth.KindNano, Config: nanoConfig(t, paths[0])}))
	require.NoError(t, filepath.WalkDir(s.folder, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".safetensors") {
			return os.Remove(path)
		}
		return err
	}))
	return s
}
