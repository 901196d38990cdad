package request

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func compileSchema(t *testing.T, c Casing) *jsonschema.Schema {
	t.Helper()
	text, err := Schema(c)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(schemaID, doc))
	schema, err := compiler.Compile(schemaID) // checks it against the draft's own schema
	require.NoError(t, err)
	return schema
}

func againstSchema(schema *jsonschema.Schema, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

func TestSchemaAcceptsWhatIsValid(t *testing.T) {
	runs := exampleRuns(t)
	for i, group := range equalRequests {
		run, err := DecodeJSON([]byte(group[0]))
		require.NoError(t, err)
		runs[fmt.Sprint("group ", i)] = run
	}
	for _, c := range Casings {
		schema := compileSchema(t, c)
		for name, run := range runs {
			text, err := run.EncodeJSON(c)
			require.NoError(t, err)
			assert.NoError(t, againstSchema(schema, text), "%s\n%s", name, text)
		}
	}
	schema := compileSchema(t, SnakeCase)
	for _, i := range []int{0, 1, 3, 4, 5, 6, 7} {
		assert.NoError(t, againstSchema(schema, []byte(equalRequests[i][0])))
	}
}

func TestSchemaRefusesWhatIsNot(t *testing.T) {
	schema := compileSchema(t, SnakeCase)
	for _, text := range []string{`[]`, `{"promt":"x"}`, `{"width":100}`, `{"width":"64"}`, `{"seed":1.5}`,
		`{"num_inference_steps":1001}`, `{"rng":"cuda"}`,
		`{"model":3}`, `{"model":{"threds":1}}`, `{"jobs":{}}`, `{"jobs":[{"width":9}]}`, `{"lora":[{"weight":101}]}`, `{"lora":{}}`,
		`{"original_size":[1]}`,
		`{"lora":[{"block_weights":{"IN00":"x"}}]}`, `{"model":{"memory":{"strategy":"none"}}}`, `{"metadata":1}`,
		`{"model":{"embeddings":[1]}}`} {
		assert.Error(t, againstSchema(schema, []byte(text)), text)
		run, err := DecodeJSON([]byte(text))
		if err == nil {
			err = run.Validate()
		}
		assert.ErrorIs(t, err, ErrInvalid, text)
	}
}

// TestSchemaAgreesWithValidate tries every number's limits on both.
func TestSchemaAgreesWithValidate(t *testing.T) {
	schema := compileSchema(t, SnakeCase)
	tried := 0
	for _, k := range Keys() {
		path := join(k.Table, k.Name)
		l, limited := limitOf(path)
		number := k.Type == "integer" || k.Type == "number"
		free := map[string]bool{"seed": true, "model.vae_tile_size": true} // any number; 0 or from 256 on
		assert.Equal(t, number && !free[path], limited, "%s has limits, or is no number", path)
		if words := wordsOf(path); words != nil {
			assert.Equal(t, "string", k.Type)
			for _, w := range words {
				assert.NoError(t, complain(t, path, fmt.Sprintf("%q", w)), path)
			}
			assert.Error(t, complain(t, path, `"other"`), path)
		}
		if !limited {
			continue
		}
		tried++
		step := 1.0
		if k.Type == "number" {
			step = 1e-3
		}
		low, high := literal(l.min), literal(l.max)
		for value, want := range map[string]bool{low: true, high: true, literal(l.min - step): false,
			literal(math.Ceil(l.max) + step): false} {
			assert.Equal(t, want, complain(t, path, value) == nil, "Validate: %s = %s", path, value)
			assert.Equal(t, want, againstSchema(schema, []byte(nested(path, value))) == nil, "schema: %s = %s", path, value)
		}
	}
	limited := 0
	for path := range known.Keys {
		if _, ok := limitOf(path); ok {
			limited++
		}
	}
	assert.Equal(t, limited, tried, "limits of keys that do not exist")
}

func literal(x float64) string {
	data, _ := json.Marshal(x)
	return string(data)
}

// nested writes a run file that sets one key.
func nested(path, value string) string {
	keys := strings.Split(path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		if value = fmt.Sprintf(`{"%s":%s}`, keys[i], value); i > 0 && slices.Contains([]string{"lora", "controlnet", "ip_adapter", "region", "detail"}, keys[i-1]) {
			value = "[" + value + "]"
		}
	}
	return value
}

// complain tells what Validate says about one key's value.
func complain(t *testing.T, path, value string) error {
	run, err := DecodeJSON([]byte(nested(path, value)))
	require.NoError(t, err, path)
	var errs Errors
	if err := run.Validate(); err != nil {
		errs = err.(Errors)
	}
	for _, e := range errs {
		last := path[strings.LastIndexByte(path, '.')+1:]
		about := strings.HasSuffix(e.Path, last) && !strings.Contains(e.Message, "there is no") && !strings.Contains(e.Message,
			"there is nothing") &&
			!strings.Contains(e.Message, "never act") &&
			!strings.Contains(e.Message, "is missing")
		if about {
			return e
		}
	}
	return nil
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	text, err := Schema(PascalCase)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Equal(t, "https://json-schema.org/draft/2020-12/schema", doc["$schema"])
	properties := doc["properties"].(map[string]any)
	for i := range reflect.TypeFor[Request]().NumField() {
		f := reflect.TypeFor[Request]().Field(i)
		p, ok := properties[PascalCase.Key(f.Tag.Get("key"))].(map[string]any)
		require.True(t, ok, f.Name)
		assert.NotEmpty(t, p["description"])
	}
	steps := properties["Quality"].(map[string]any)
	assert.Equal(t, 90.0, steps["default"])
	assert.Equal(t, "cpu", properties["Rng"].(map[string]any)["default"])
	assert.Contains(t, properties["NumInferenceSteps"].(map[string]any)["description"], "default: the model's, else 30")
}
