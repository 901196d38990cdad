//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nobody is a user without rights, as whom the program is run where root's own would hide a mistake.
const nobody = 65534

// TestBadModels gives the program every kind of broken model file.
func TestBadModels(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.safetensors")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "nano", "-o", good, "--quiet").code)
	whole, err := os.ReadFile(good)
	require.NoError(t, err)
	const conv = "model.diffusion_model.input_blocks.0.0.weight"
	altered := func(change func(*tensors)) []byte {
		x := readTensors(t, good)
		require.Contains(t, x.names, conv)
		change(x)
		return x.bytes(t)
	}
	witness := filepath.Join(t.TempDir(), "pwned")
	evil := "touch " + witness

	for _, c := range []struct {
		name, file string
		content    []byte
		want       []string // parts of the message besides the file's name: the field, what was found, the remedy
	}{
		{"empty file", "empty.safetensors", nil, []string{"empty", "download"}},
		{"one byte", "one.safetensors", []byte("x"), []string{"download"}},
		{"truncated", "cut.safetensors", whole[:len(whole)/2], []string{"bytes are missing", "download it again"}},
		{"header cut off", "head.safetensors", whole[:100], []string{"download it again"}},
		{"header length 2^63", "length.safetensors", rawHeader(1<<63, `{}`), []string{"header length", "download it again"}},
		{"overlapping offsets", "overlap.safetensors",
			append(rawHeader(124,
				`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`+strings.Repeat(" ",
					16)), make([]byte, 12)...),
			[]string{`tensor "b"`, "overlap", "download it again"}},
		{"unknown dtype", "dtype.safetensors", altered(func(x *tensors) { x.dtype[conv] = "F99" }), []string{conv, "F99"}},
		{"wrong dtype", "integer.safetensors", altered(func(x *tensors) { x.dtype[conv] = "I16" }), []string{conv, "I16", "convert the file"}},
		{"missing tensor", "missing.safetensors", altered(func(x *tensors) { x.remove("model.diffusion_model.out.0.bias") }),
			[]string{`tensor "model.diffusion_model.out.0.bias": missing`, "download"}},
		{"missing tensor that tells a size", "size.safetensors",
			altered(func(x *tensors) { x.remove("model.diffusion_model.time_embed.0.weight") }), []string{
				`tensor "model.diffusion_model.time_embed.0.weight": missing`, "download"}},
		{"missing late tensor", "late.safetensors", altered(func(x *tensors) { x.remove("first_stage_model.decoder.conv_out.bias") }),
			[]string{`tensor "first_stage_model.decoder.conv_out.bias": missing`, "download"}},
		{"wrong shape", "shape.safetensors", altered(func(x *tensors) {
			s := x.shape["model.diffusion_model.time_embed.0.weight"]
			s[0], s[1] = s[1], s[0]
		}), []string{"time_embed.0.weight", "expected [128, 32]"}},
		{"text as safetensors", "text.safetensors", []byte(strings.Repeat("this is no model\n", 40)), []string{"a text file", "download"}},
		{"web page", "page.safetensors", []byte("<!DOCTYPE html><html><body>401</body></html>"), []string{"an HTML page", "download"}},
		{"absurd GGUF", "huge.gguf", hugeGGUF(), []string{"tensor count", "at most 200,000", "download"}},
		{"pickle that runs code", "evil.ckpt", evilCheckpoint(t, evil), []string{"system", ".safetensors"}},
		{"bare pickle that runs code", "bare.pt", evilPickle(evil), []string{"os.system", "nothing was run"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			require.NoError(t, os.WriteFile(path, c.content, 0o600))
			refuse(t, dir, path, 3, c.want)
		})
	}
	assert.NoFileExists(t, witness, "no code of a file was run")

	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		refuse(t, dir, dir, 3, []string{"model_index.json"})
	})
	t.Run("missing", func(t *testing.T) {
		dir := t.TempDir()
		refuse(t, dir, filepath.Join(dir, "none.safetensors"), 3, []string{"no such file", "--model"})
	})
	t.Run("no permission", func(t *testing.T) {
		// Not t.TempDir: its parents are closed to other users.
		dir, err := os.MkdirTemp("", "daguerre-perm-")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		path := filepath.Join(dir, "secret.safetensors")
		require.NoError(t, os.WriteFile(path, whole, 0o000))
		require.NoError(t, os.Chmod(dir, 0o777))
		cmd := prepare(t, "generate", "--model", path, "--prompt", "x", "-o", filepath.Join(dir, "x.png"))
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			cmd.Env = append(cmd.Env, "HOME="+dir, "DAGUERRE_CACHE="+filepath.Join(dir, "cache"))
		}
		r := finish(t, cmd)
		assert.Equal(t, 3, r.code, r.stderr)
		for _, want := range []string{"secret.safetensors", "permission", "chmod"} {
			assert.Contains(t, r.stderr, want)
		}
		assert.NoFileExists(t, filepath.Join(dir, "x.png"))
	})
}

// refuse runs generate on a model and holds its failure to the rules: the exit code, a message that names
// the file and whatever is wanted, nothing on standard output, no output file.
func refuse(t *testing.T, dir, model string, code int, want []string) {
	t.Helper()
	before := list(t, dir)
	r := run(t, "generate", "--model", model, "--prompt", "x", "-o", filepath.Join(dir, "x.png"))
	assert.Equal(t, code, r.code, r.stderr)
	assert.True(t, strings.HasPrefix(r.stderr, "daguerre: "), r.stderr)
	for _, w := range append(want, filepath.Base(model)) {
		assert.Contains(t, r.stderr, w)
	}
	assert.Empty(t, r.stdout)
	assert.Equal(t, before, list(t, dir), "no output")
	t.Log(strings.TrimSpace(r.stderr))
}

// TestBadComponent gives the program a VAE that lacks a tensor: the message names that file, not the model's.
func TestBadComponent(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.safetensors"), filepath.Join(dir, "bad-vae.safetensors")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "nano", "-o", good, "--quiet").code)
	x := readTensors(t, good)
	x.remove("first_stage_model.decoder.conv_out.bias")
	require.NoError(t, os.WriteFile(bad, x.bytes(t), 0o600))
	r := run(t, "generate", "--model", good, "--vae", bad, "--prompt", "x", "-o", filepath.Join(dir, "x.png"))
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.stderr, "bad-vae.safetensors")
	assert.Contains(t, r.stderr, "decoder.conv_out.bias")
	assert.Equal(t, []string{"bad-vae.safetensors", "good.safetensors"}, list(t, dir))
}

// TestBadRequests gives the program every kind of impossible request.
func TestBadRequests(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.toml")
	require.NoError(t, os.WriteFile(huge, []byte("model = \"nano\"\nprompt = \""+strings.Repeat("word ", 12<<20)+"\"\n"), 0o600))
	invalid := filepath.Join(dir, "invalid.toml")
	require.NoError(t, os.WriteFile(invalid, []byte("model = \"nano\"\nprompt = \"a \xff b\"\n"), 0o600))
	long := filepath.Join(dir, "long.toml")
	require.NoError(t, os.WriteFile(long, []byte("model = \"nano\"\nprompt = \""+strings.Repeat("word ", 1<<20)+"\"\n"), 0o600))
	before := list(t, dir)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"size", []string{"--model", "nano", "--prompt", "x", "--width", "130"}, []string{"width", "130", "128 and 136"}},
		{"NaN guidance", []string{"--model", "nano", "--prompt", "x", "--guidance-scale", "NaN"}, []string{"--guidance-scale", "NaN",
			"between 0 and 1000"}},
		{"10^9 steps", []string{"--model", "nano", "--prompt", "x", "--steps", "1000000000"}, []string{"--steps", "1000000000",
			"between 1 and 1000"}},
		{"60 MB prompt", []string{"-c", huge}, []string{"huge.toml", "at most 8 MiB"}},
		{"5 MB prompt", []string{"-c", long}, []string{"long.toml", "prompt", "5242880 bytes", "at most 65536"}},
		{"invalid UTF-8 in a file", []string{"-c", invalid}, []string{"invalid.toml", "UTF-8"}},
		{"invalid UTF-8 in a flag", []string{"--model", "nano", "--prompt", "a \xff b"}, []string{"prompt", "byte 2", "UTF-8"}},
		{"no model", []string{"--prompt", "x"}, []string{"model", "give a checkpoint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, append([]string{"generate", "-o", filepath.Join(dir, "x.png")}, c.args...)...)
			assert.Equal(t, 2, r.code, r.stderr)
			t.Log(strings.TrimSpace(r.stderr))
			for _, w := range c.want {
				assert.Contains(t, r.stderr, w)
			}
			assert.Less(t, len(r.stderr), 2000, "the message stays short")
			assert.Empty(t, r.stdout)
			assert.Equal(t, before, list(t, dir))
		})
	}
}
