package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/models/nano"
)

// TestHalvesOfAVAE: what half of a VAE cannot do is refused with the name of the half that is missing. A decoder alone makes pictures.
func TestHalvesOfAVAE(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	k := &kit{t: t, dir: t.TempDir()}
	vae := changed(readTensors(t, base), []change{only(ldmVAE)})
	half := func(name, quant, postQuant string) string {
		return k.save(name+".safetensors", changed(vae, []change{names(func(n string) string {
			if strings.HasPrefix(n, name+".") || strings.HasPrefix(n, quant) && quant != "" || strings.HasPrefix(n, postQuant) && postQuant != "" {
				return n
			}
			return ""
		})}))
	}
	files := map[string]string{"DECODER": half("decoder", "", "post_quant_conv."), "ENCODER": half("encoder", "quant_conv.", ""),
		"OUT": filepath.Join(k.dir, "out.png"), "PICTURE": filepath.Join(k.dir, "picture.png")}
	words := func(line string) (args []string) {
		for _, w := range strings.Fields(line) {
			if path, ok := files[w]; ok {
				w = path
			}
			args = append(args, w)
		}
		return args
	}
	const generate = "generate --model nano -p x --steps 4 -W 64 -H 64 -q --overwrite "
	require.Equal(t, 0, run(t, words(generate+"-o PICTURE")...).code)
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"vae check DECODER", 3, []string{"decoder.safetensors", "holds no encoder"}},
		{"vae check ENCODER", 3, []string{"encoder.safetensors", "holds no decoder"}},
		{generate + "-o OUT --vae DECODER", 0, nil},
		{generate + "-o OUT --vae ENCODER", 3, []string{"encoder.safetensors", "holds no decoder"}},
		{generate + "-o OUT --vae DECODER -i PICTURE", 3, []string{"--image", "needs the VAE's encoder"}},
		{generate + "-o OUT --vae DECODER --hires-scale 2 --hires-upscaler picture", 2, []string{"--hires-upscaler", "needs the VAE's encoder"}},
		{"plan --model nano --vae DECODER -i PICTURE", 3, []string{"--image", "needs the VAE's encoder"}},
		{"plan --model nano --vae ENCODER", 3, []string{"encoder.safetensors", "holds no decoder"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := run(t, words(c.args)...)
			assert.Equal(t, c.code, r.code, r.stderr)
			for _, s := range c.says {
				assert.Contains(t, r.stderr, s)
			}
		})
	}
}
