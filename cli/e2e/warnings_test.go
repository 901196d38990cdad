package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/models/nano"
)

// TestWarningsOnEveryFace: what opening a model warns of is told by every command and event, and written into pictures.
func TestWarningsOnEveryFace(t *testing.T) {
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	k := &kit{t: t, dir: t.TempDir()}
	base := readTensors(t, path)
	save := func(name string, changes ...change) string {
		return k.save(name+".safetensors", changed(base, changes))
	}
	plain := save("plain", strangers, only(ldmUNet))
	for name, c := range map[string]struct {
		files map[string]any // of a [model] table
		says  string
	}{
		"a tensor that nothing uses": {map[string]any{"model": save("ema", with("model_ema.decay", "F32"))}, "model_ema.decay"},
		"of a UNet":                  {map[string]any{"model": "nano", "unet": save("notes", only(ldmUNet), with("out.0.seen", "I64"))}, "out.0.seen"},
		"a plain UNet over EDM": {map[string]any{"model": save("edm", strangers, playground), "unet": plain},
			"plain.safetensors: the model has EDM's preconditioning, and this UNet does not say that it has it too"},
		"an unknown scheduler": {map[string]any{"model": save("odd", states("daguerre.config",
			`{"unet":{"norm_num_groups":4},"vae":{"norm_num_groups":2},"scheduler":{"_class_name":"OddScheduler"}}`))}, "OddScheduler, is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			request := map[string]any{"model": c.files, "prompt": "a red circle", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 1}
			text, err := json.Marshal(request)
			require.NoError(t, err)
			file := k.bytes(filepath.Base(dir)+"/run.json", text)
			told := func(list any, what string) {
				t.Helper()
				texts, ok := list.([]any)
				require.True(t, ok, "%s: %v", what, list)
				require.Len(t, texts, 1, what)
				assert.Contains(t, texts[0], c.says, what)
			}
			in := func(r result, what string) {
				t.Helper()
				require.Equal(t, 0, r.code, "%s: %s", what, r.stderr)
				assert.Contains(t, r.stderr, c.says, what)
			}
			manifest := func(path, what string) {
				t.Helper()
				_, texts := readPNG(t, path)
				var m map[string]any
				require.NoError(t, json.Unmarshal([]byte(texts["daguerre"]), &m), texts)
				told(m["warnings"], what)
			}

			in(run(t, "plan", "-c", file), "plan")
			r := run(t, "plan", "-c", file, "--json")
			in(r, "plan --json")
			var plan map[string]any
			require.NoError(t, json.Unmarshal([]byte(r.stdout), &plan))
			told(plan["warnings"], "plan --json")

			picture := filepath.Join(dir, "one.png")
			in(run(t, "generate", "-c", file, "-o", picture), "generate")
			manifest(picture, "generate's manifest")
			r = run(t, "generate", "-c", file, "-o", filepath.Join(dir, "two.png"), "--json")
			require.Equal(t, 0, r.code, r.stderr)
			var warned []any
			for _, e := range events(t, r.stdout) {
				if e["event"] == "warning" {
					warned = append(warned, e["message"])
				}
			}
			told(warned, "generate's events")

			conversation := converse(t)
			request["output"] = filepath.Join(dir, "three.png")
			conversation.send("a", "generate", request)
			require.Equal(t, "done", conversation.event("a", "error", "done")["event"])
			told([]any{conversation.event("a", "warning")["message"]}, "the worker's event")
			manifest(filepath.Join(dir, "three.png"), "the worker's manifest")
			require.NoError(t, conversation.in.Close())
			require.NoError(t, conversation.cmd.Wait())
		})
	}
}
