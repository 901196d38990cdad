package request

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCasings(t *testing.T) {
	for _, c := range []struct{ snake, camel, pascal string }{
		{"guidance_scale", "guidanceScale", "GuidanceScale"}, {"prompt_2", "prompt2", "Prompt2"}, {"prompt", "prompt", "Prompt"},
		{"vae_tile_size", "vaeTileSize", "VaeTileSize"}, {"s_churn", "sChurn", "SChurn"},
		{"IN00", "IN00", "IN00"}, {"down_blocks.1", "down_blocks.1", "down_blocks.1"}, {"", "", ""},
	} {
		assert.Equal(t, c.snake, SnakeCase.Key(c.snake))
		assert.Equal(t, c.snake, Casing("").Key(c.snake))
		assert.Equal(t, c.camel, CamelCase.Key(c.snake))
		assert.Equal(t, c.pascal, PascalCase.Key(c.snake))
		assert.Equal(t, fold(c.snake), fold(c.pascal))
		if c.snake != "prompt_2" && isSnake(c.snake) {
			assert.Equal(t, c.snake, snake(c.camel))
			assert.Equal(t, c.snake, snake(c.pascal))
		}
	}
	assert.Equal(t, "jobs[1].schedulerOptions.useKarrasSigmas", CamelCase.Path("jobs[1].scheduler_options.use_karras_sigmas"))
	assert.Equal(t, "ControlNets[2]", PascalCase.Path("control_nets[2]"))
}

// TestNoTwoKeysFoldAlike makes sure that a spelling never means two keys.
func TestNoTwoKeysFoldAlike(t *testing.T) {
	seen := map[string]string{}
	for _, k := range Keys() {
		id := k.Table + "/" + fold(k.Name)
		assert.Empty(t, seen[id], "%s and %s", k.Name, seen[id])
		seen[id] = k.Name
		assert.Equal(t, k.Name, SnakeCase.Key(k.Name))
	}
}

func TestDetectCasing(t *testing.T) {
	for text, want := range map[string]Casing{
		`{"prompt":"a"}`: "", `{"guidance_scale":1}`: SnakeCase, `{"guidanceScale":1,
		  "prompt":"x"}`: CamelCase, `{"Prompt":"a"}`: PascalCase,
		`{"cfgScale":1,"clip_skip":1,"maxBatch":2}`: CamelCase, `{"lora":[{"blockWeights":{"IN00":1,"IN01":1,"M00":1}}]}`: CamelCase,
		`{"Jobs":[{"NumImages":1},{"prompt":"x"}]}`: PascalCase, `{"a_b":1,"aB":1}`: SnakeCase, `{"":1}`: "",
	} {
		var table map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &table))
		c, ok := DetectCasing(table)
		assert.Equal(t, want != "", ok, text)
		if ok {
			assert.Equal(t, want, c, text)
		}
	}
}

func TestRecaseJSON(t *testing.T) {
	in := `{ "num_images" : 1, "a_b":[{"c_d":"e_f \" \\","g":{}},[],[1,-2.5e3,true,null]], "block_weights":{"in_00":{"a_b":1}},
		  "x\"y_z":"\\","last_one":"}"}`
	want := `{ "NumImages" : 1, "AB":[{"CD":"e_f \" \\","G":{}},[],[1,-2.5e3,true,null]], "BlockWeights":{"in_00":{"a_b":1}},
		  "x\"y_z":"\\","LastOne":"}"}`
	assert.Equal(t, want, string(PascalCase.JSON([]byte(in), "block_weights")))
	assert.Equal(t, in, string(SnakeCase.JSON([]byte(in))))
	assert.Equal(t, "3", string(CamelCase.JSON([]byte("3"))))
}

// FuzzRecaseJSON holds that valid JSON stays valid and keeps its values.
func FuzzRecaseJSON(f *testing.F) {
	f.Add([]byte(`{"a_b":[{"c_d":"x\"y"}],"\u0061_b":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := PascalCase.JSON(data, "free_form")
		if json.Valid(data) != json.Valid(out) && json.Valid(data) {
			t.Fatalf("%q became %q", data, out)
		}
	})
}
