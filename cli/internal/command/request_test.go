package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestRequestValidate(t *testing.T) {
	b := newBench(t)
	good := b.write("good.toml", "prompt = 'x'\nsampler_name = 'Euler a'\n")
	require.Equal(t, ExitOK, b.run("request", "validate", good), b.stderr)
	assert.Equal(t, good+": valid, 1 job\n", b.stdout)

	b.stdin = `{"Prompt":"x","CfgScale":-1,"Sampler_Name":"Eular","Jobs":[{"Output":"{nope}.png"},{"LoRA":[{"Weight":999}]}],"OverrideSettings":{"ClipStopAtLastLayers":2}}`
	require.Equal(t, ExitUsage, b.run("request", "validate", "-", "--json"))
	assert.Empty(t, b.stderr)
	var v validity
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &v))
	assert.False(t, v.Valid)
	assert.Equal(t, request.PascalCase, v.Casing)
	assert.Equal(t, 2, v.Jobs)
	var paths []string
	for _, e := range v.Errors {
		paths = append(paths, e.Path)
	}
	assert.Equal(t, []string{"CfgScale", "Jobs[1].LoRA[0].Name", "Jobs[1].LoRA[0].Weight", "Jobs[0].Output", "Sampler_Name"}, paths)
	assert.Len(t, v.Notes, 1)

	require.Equal(t, ExitUsage, b.run("request", "validate", "-"))
	assert.Contains(t, b.stderr, "CfgScale: is -1")
	assert.Contains(t, b.stderr, `Sampler_Name: `)
	b.stdin = "prompt = 3"
	require.Equal(t, ExitUsage, b.run("request", "validate", "-"))
	assert.Contains(t, b.stderr, "prompt: is 3")

	missing := b.write("missing.toml", "prompt = 'x'\ninit_image = '"+b.path("none.png")+"'\n")
	require.Equal(t, ExitOK, b.run("request", "validate", missing))
	require.Equal(t, ExitFile, b.run("request", "validate", missing, "--files"))
	require.Equal(t, ExitFile, b.run("request", "validate", b.path("none.toml")))
	require.Equal(t, ExitUsage, b.run("request", "validate"))
	assert.Contains(t, b.stderr, "give one run file")
}

func TestRequestNormalize(t *testing.T) {
	b := newBench(t)
	b.stdin = `{"prompt":"a fox","steps":20,"cfgScale":7.5,"samplerName":"DPM++ 2M","scheduler":"karras","nIter":1,"batchSize":2}`
	require.Equal(t, ExitOK, b.run("request", "normalize", "-", "--to", "toml"), b.stderr)
	assert.Equal(t, `prompt = "a fox"
num_images = 2
num_inference_steps = 20
guidance_scale = 7.5
scheduler = "DPM++ 2M"
sigmas = "karras"
max_batch = 2
`, b.stdout)
	path := b.write("run.toml", b.stdout)
	require.Equal(t, ExitOK, b.run("request", "normalize", path, "--to", "json", "--casing", "pascalcase"), b.stderr)
	assert.Contains(t, b.stdout, `"NumInferenceSteps": 20`)
	path = b.write("run.json", b.stdout)
	require.Equal(t, ExitOK, b.run("request", "normalize", path), b.stderr)
	assert.Contains(t, b.stdout, `"NumInferenceSteps": 20`, "as it was")

	require.Equal(t, ExitUsage, b.run("request", "normalize", path, "--to", "yaml"))
	require.Equal(t, ExitUsage, b.run("request", "normalize", path, "--to", "toml", "--casing", "camelCase"))
	require.Equal(t, ExitUsage, b.run("request", "normalize", path, "--casing", "kebab"))
	b.stdin = `{"width":9}`
	require.Equal(t, ExitUsage, b.run("request", "normalize", "-"))
	assert.Empty(t, b.stdout)
}

func TestRequestSchemaAndNames(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("request", "schema", "--casing", "camelCase"), b.stderr)
	var schema map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &schema))
	assert.Contains(t, schema["properties"], "numInferenceSteps")
	require.Equal(t, ExitOK, b.run("request", "names"), b.stderr)
	assert.Regexp(t, `(?m)^cfg_scale +A1111 +guidance_scale`, b.stdout)
	require.Equal(t, ExitOK, b.run("request", "names", "--json"), b.stderr)
	var names []namedKey
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &names))
	assert.Len(t, names, len(request.Names()))
}

func TestNamesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| name | of | key | |\n|---|---|---|---|\n")
	for _, n := range request.Names() {
		name, key := n.Name, ""
		if n.Key != "" {
			key = "`" + n.Key + "`"
		}
		if n.Table != "" {
			name = n.Table + "." + name
			if key != "" {
				key = "`" + n.Table + "." + n.Key + "`"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, n.From, key, nameDoc(n))
	}
	b.WriteString("| `cross_attention_kwargs` | diffusers | | scale is `lora_stack.global_weight` |\n")
	checkGenerated(t, "requests.md", "names", b.String())
}
