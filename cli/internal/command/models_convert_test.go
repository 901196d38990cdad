package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

func TestConvertCommand(t *testing.T) {
	b := newBench(t)
	in := filepath.Join(b.dir, "in.safetensors")
	require.NoError(t, synth.Write(t.Context(), in, synth.Options{Kind: synth.KindNano}))
	out := filepath.Join(b.dir, "out.gguf")
	require.Equal(t, ExitOK, b.run("models", "convert", in, out, "--type", "Q8_0", "--rule", "attn1.*=f16"), b.stderr)
	assert.Regexp(t, `(?m)^q8_0 +\d+ `, b.stdout)
	assert.Contains(t, b.stdout, "every tensor was read back")
	r, err := modelfile.Inspect(out)
	require.NoError(t, err)
	assert.Positive(t, r.DTypes["Q8_0"])
	assert.Contains(t, r.Metadata["daguerre.converted"], `"rules":["attn1.*=f16"]`)

	require.Equal(t, ExitOK, b.run("models", "convert", in, out, "--type", "q8_0", "--overwrite", "--report", "--json"))
	list := b.events()
	result := list[len(list)-2]
	assert.Equal(t, "result", result["event"])
	assert.Len(t, result["result"].(map[string]any)["tensors"], r.Tensors)
}

func TestConvertRefusals(t *testing.T) {
	b := newBench(t)
	in := filepath.Join(b.dir, "in.safetensors")
	require.NoError(t, synth.Write(t.Context(), in, synth.Options{Kind: synth.KindNano}))
	exists := filepath.Join(b.dir, "exists.gguf")
	require.NoError(t, os.WriteFile(exists, []byte("x"), 0o644))
	gguf := filepath.Join(b.dir, "x.gguf")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{in}, ExitUsage, "give the model to read and the file to write"},
		{[]string{in, gguf}, ExitUsage, "--type is missing"},
		{[]string{in, gguf, "--type", "q9"}, ExitUsage, `"q9" is unknown`},
		{[]string{in, gguf, "--type", "f16", "--rule", "attn"}, ExitUsage, "PATTERN=TYPE"},
		{[]string{in, gguf, "--type", "f16", "--rule", "nothing=f32"}, ExitUsage, "matches no tensor"},
		{[]string{in, filepath.Join(b.dir, "x.safetensors"), "--type", "q8_0"}, ExitUsage, "ends in .gguf"},
		{[]string{in, filepath.Join(b.dir, "x.bin"), "--type", "f16"}, ExitUsage, "must end in .gguf or .safetensors"},
		{[]string{in, exists, "--type", "f16"}, ExitUsage, "exists already"},
		{[]string{in, in, "--type", "f16", "--overwrite"}, ExitUsage, "is the input itself"},
		{[]string{exists, gguf, "--type", "f16"}, ExitFile, "exists.gguf"},
		{[]string{filepath.Join(b.dir, "absent"), gguf, "--type", "f16"}, ExitFile, "absent"},
	} {
		assert.Equal(t, c.code, b.run(append([]string{"models", "convert"}, c.args...)...), c.args)
		assert.Contains(t, b.stderr, c.says)
	}
	assert.NoFileExists(t, gguf)
}
