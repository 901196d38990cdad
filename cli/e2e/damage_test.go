package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/models/nano"
)

// harm copies a model's file with the first value of a tensor made NaN.
func harm(t *testing.T, from, tensor string) string {
	t.Helper()
	x := readTensors(t, from)
	data := x.data[tensor]
	switch x.dtype[tensor] {
	case "F16":
		binary.LittleEndian.PutUint16(data, 0x7e00)
	case "F32":
		binary.LittleEndian.PutUint32(data, 0x7fc00000)
	default:
		require.Fail(t, "no such tensor", tensor)
	}
	path := filepath.Join(t.TempDir(), "harmed.safetensors")
	require.NoError(t, os.WriteFile(path, x.bytes(t), 0o600))
	return path
}

// TestDamagedWeights: a weight that is not finite, or that no model has, ends a run with the file's and the tensor's name, whichever
// network it is in. Nothing is written.
func TestDamagedWeights(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	picture := filepath.Join(dir, "picture.png")
	require.Equal(t, 0, run(t, "generate", "--model", "nano", "-p", "a red circle", "--steps", "1", "-W", "64", "-H", "64", "-o", picture,
		"-q").code)
	family := filepath.Join("..", "..", "models", "nano")
	net, taesd := filepath.Join(family, "nano-controlnet-canny.safetensors"), filepath.Join(family, "nano-taesd.safetensors")
	esrgan := filepath.Join(dir, "esrgan.safetensors")
	require.NoError(t, synth.Write(t.Context(), esrgan, synth.Options{Kind: synth.KindESRGAN}))
	control := "model = 'nano'\n[[controlnet]]\nmodel = 'HARMED'\nimage = '" + picture + "'\n"
	const vaeOut, vaeIn = "first_stage_model.decoder.conv_out.weight", "first_stage_model.encoder.conv_in.weight"
	const unetIn, unetOut = "model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.out.2.weight"
	for _, c := range []struct {
		from, tensor string
		args         string // HARMED is the file; CONTROL a run file that names it
	}{
		{base, vaeOut, "generate -m HARMED"},
		{base, vaeOut, "generate -m nano --vae HARMED"},
		{base, vaeOut, "generate -m HARMED --precision f32"},
		{base, vaeIn, "generate -m HARMED -i PICTURE --steps 4"},
		{base, unetIn, "generate -m HARMED"},
		{base, unetOut, "generate -m nano --unet HARMED"},
		{base, "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight", "generate -m HARMED"},
		{base, "conditioner.embedders.1.model.positional_embedding", "generate -m HARMED"},
		{net, "controlnet_cond_embedding.conv_in.weight", "generate -c CONTROL"},
		{taesd, "decoder.layers.0.weight", "generate -m nano --taesd HARMED --fast-decode"},
		{esrgan, "model.0.weight", "upscale PICTURE --model HARMED"},
		{esrgan, "model.0.weight",
			"generate -m nano --upscaler HARMED --hires-scale 2 --hires-upscaler model --hires-strength 0.9"},
	} {
		t.Run(c.tensor, func(t *testing.T) {
			harmed := harm(t, c.from, c.tensor)
			out := t.TempDir()
			file := filepath.Join(t.TempDir(), "control.toml")
			require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(control, "HARMED", harmed)), 0o600))
			args := strings.Fields(strings.NewReplacer("HARMED", harmed, "PICTURE", picture, "CONTROL", file).Replace(c.args))
			if args[0] == "generate" {
				args = append(args, "-W", "64", "-H", "64", "-p", "a red circle")
				if !strings.Contains(c.args, "--steps") {
					args = append(args, "--steps", "2")
				}
			}
			r := run(t, append(args, "-o", filepath.Join(out, "x.png"))...)
			assert.Equal(t, 3, r.code, r.stderr)
			assert.Contains(t, r.stderr, harmed)
			assert.Contains(t, r.stderr, c.tensor)
			assert.Contains(t, r.stderr, "NaN")
			assert.Contains(t, r.stderr, "the file is damaged")
			assert.Empty(t, list(t, out))
		})
	}
}

// TestDamagedScales: a quantized file in which a scale is not finite is named with its tensor.
func TestDamagedScales(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	for typ, places := range map[string][]int64{"q8_0": {0}, "q4_0": {0}, "q5_1": {0, 2}, "q4_k": {0, 2}, "q6_k": {208}} {
		for _, at := range places {
			t.Run(fmt.Sprintf("%s at %d", typ, at), func(t *testing.T) {
				file, out := filepath.Join(t.TempDir(), "harmed.gguf"), filepath.Join(t.TempDir(), "x.png")
				require.Equal(t, 0, run(t, "models", "convert", base, file, "--type", typ, "-q").code)
				tensor := harmBlock(t, file, strings.ToUpper(typ), at)
				r := run(t, "generate", "-m", file, "-W", "64", "-H", "64", "-p", "a red circle", "--steps", "2", "-o", out)
				assert.Equal(t, 3, r.code, r.stderr)
				for _, s := range []string{file, tensor, "scale of block 0 is NaN", "the file is damaged"} {
					assert.Contains(t, r.stderr, s)
				}
				assert.NoFileExists(t, out)
			})
		}
	}
}

// harmBlock makes a scale of a UNet's matrix NaN, at an offset of its first block.
func harmBlock(t *testing.T, path, typ string, at int64) (tensor string) {
	t.Helper()
	f, err := modelfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	for _, x := range f.Tensors {
		if string(x.DType) == typ && strings.Contains(x.Name, "diffusion_model.") {
			_, err := file.WriteAt([]byte{0x00, 0x7e}, x.Offset+at)
			require.NoError(t, err)
			return x.Name
		}
	}
	require.Fail(t, "no tensor of type "+typ)
	return ""
}
