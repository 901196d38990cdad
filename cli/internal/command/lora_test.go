package command

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// adapterGolden is an adapter for the nano model in kohya's names, with text encoders.
const adapterGolden = "../../../testdata/goldens/lora_kohya.safetensors"

func TestLoRAList(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.MkdirAll(b.path("loras/style"), 0o755))
	b.write("loras/style/ink.safetensors", "x")
	b.write("loras/b.pt", "xyz")
	b.write("loras/notes.txt", "x")
	require.Equal(t, ExitOK, b.run("lora", "list", b.path("loras")), b.stderr)
	assert.Regexp(t, `NAME +SIZE +MODIFIED +FILE\nb +3 B .*\nstyle/ink +1 B `, b.stdout)
	require.Equal(t, ExitOK, b.run("lora", "list", "-d", b.path("loras"), "--json"), b.stderr)
	var found []library.Found
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &found))
	assert.Len(t, found, 2)
	require.Equal(t, ExitOK, b.run("lora", "list", b.path("loras/style/.."), "--json"), b.stderr)
	assert.Equal(t, ExitUsage, b.run("lora", "list"))
	assert.Equal(t, ExitFile, b.run("lora", "list", b.path("missing")))
}

func TestLoRAInspect(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("lora", "inspect", adapterGolden), b.stderr)
	for _, s := range []string{"66 of 66 tensors applied to 22 modules", "text_encoder 2, text_encoder_2 2, unet 18", "lora 22",
		"rank       4\n", "alpha      2\n", "sdxl_base_v1-0", "sha256", "autov3"} {
		assert.Contains(t, b.stdout, s)
	}
	require.Equal(t, ExitOK, b.run("lora", "inspect", "lora_dora_part", "--lora-dir", "../../../testdata/goldens", "--model", "nano",
		"--json"), b.stderr)
	var r adapters.Report
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &r))
	assert.Equal(t, 20, r.DoRA)
	assert.Len(t, r.SHA256, 64)
	assert.False(t, r.Partial())

	assert.Equal(t, ExitUsage, b.run("lora", "inspect"))
	assert.Equal(t, ExitFile, b.run("lora", "inspect", "nothing"))
	assert.Equal(t, ExitUsage, b.run("lora", "inspect", "lora_lo", "--lora-dir", "../../../testdata/goldens"), "ambiguous")
	assert.Contains(t, b.stderr, "lora_loha.safetensors")
	assert.Equal(t, ExitFile, b.run("lora", "inspect", b.write("x.pt", "\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")))
	assert.Contains(t, b.stderr, "nothing was run")
}

func TestLoRAFuse(t *testing.T) {
	b := newBench(t)
	in, out := b.path("in.safetensors"), b.path("out.safetensors")
	require.NoError(t, synth.Write(t.Context(), in, synth.Options{Kind: synth.KindNano}))
	require.Equal(t, ExitOK, b.run("lora", "fuse", in, "--lora", adapterGolden+":0.5", "--lora-dir", "../../../testdata/goldens", "--lora",
		"lora_full", "-o", out), b.stderr)
	assert.Contains(t, b.stdout, " tensors changed by 2 adapters")
	assert.NotContains(t, b.stderr, "warning")
	f, err := modelfile.Open(out)
	require.NoError(t, err)
	assert.Contains(t, f.Metadata[adapters.FusedKey], `{"name":"lora_kohya","unet_weight":0.5,"text_encoder_weight":0.5}`)
	require.NoError(t, f.Close())
	require.Equal(t, ExitOK, b.run("models", "inspect", out, "--check"), b.stderr)

	again := []string{"lora", "fuse", in, "--lora", adapterGolden, "-o", out}
	assert.Equal(t, ExitUsage, b.run(again...))
	assert.Contains(t, b.stderr, "exists already")
	require.Equal(t, ExitOK, b.run(append(again, "--overwrite", "--json")...), b.stderr)
	assert.Equal(t, "done", b.events()[len(b.events())-1]["event"])
	for name, args := range map[string][]string{
		"no model":     {"lora", "fuse", "--lora", adapterGolden, "-o", out},
		"no adapter":   {"lora", "fuse", in, "-o", out},
		"no output":    {"lora", "fuse", in, "--lora", adapterGolden},
		"format":       {"lora", "fuse", in, "--lora", adapterGolden, "-o", b.path("x.pt")},
		"weight":       {"lora", "fuse", in, "--lora", adapterGolden + ":1000", "-o", b.path("y.safetensors")},
		"bad name":     {"lora", "fuse", in, "--lora", ":1", "-o", b.path("y.safetensors")},
		"input itself": {"lora", "fuse", in, "--lora", adapterGolden, "-o", in, "--overwrite"},
	} {
		assert.Equal(t, ExitUsage, b.run(args...), name)
	}
	assert.Equal(t, ExitFile, b.run("lora", "fuse", in, "--lora", "nothing", "-o", b.path("y.safetensors")))
	assert.Equal(t, ExitFile, b.run("lora", "fuse", b.path("missing"), "--lora", adapterGolden, "-o", b.path("y.safetensors")))
}
