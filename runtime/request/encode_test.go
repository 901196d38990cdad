package request

import (
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// exampleRuns decodes the example run files.
func exampleRuns(t *testing.T) map[string]Run {
	t.Helper()
	paths, err := filepath.Glob("../../examples/toml/*.toml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	runs := map[string]Run{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		run, err := DecodeTOML(data)
		require.NoError(t, err, path)
		runs[path] = run
	}
	return runs
}

// fill sets every field of a struct with key tags to something that is no default.
func fill(v reflect.Value, seed int) {
	for i := range v.NumField() {
		f, n := v.Field(i), seed+i+1
		if v.Type().Field(i).Tag.Get("key") == "" {
			continue
		}
		switch p := f.Addr().Interface().(type) {
		case *Size:
			*p = Size{n, n + 1}
		case *Point:
			*p = Point{-n, n}
		case *Picture:
			if *p = (Picture{Path: fmt.Sprint("picture ", n)}); n%2 == 0 {
				*p = Picture{Data: []byte{byte(n), 0, 255}}
			}
		case *[]Picture:
			*p = []Picture{{Path: fmt.Sprint("picture ", n)}, {Data: []byte{byte(n), 1, 254}}}
		case *Array:
			*p = Array{Path: fmt.Sprint(n)}
		case *[]int:
			*p = []int{n, 0}
		case *[]string:
			*p = []string{"a", `b "c" é`}
		case *map[string]any:
			*p = map[string]any{"an_int": int64(n), "a_float": float64(n), "a_bool": true, "text": "x", "half": 0.5}
		case *map[string]float64:
			*p = map[string]float64{"IN00": float64(n), "down_blocks.1.attentions.0": 0.1}
		case **bool:
			*p = new(n%2 == 0)
		case **float64:
			*p = new(float64(n) / 4)
		default:
			switch {
			case hasKeys(f.Type()):
				fill(f, n)
			case f.Kind() == reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 2, 2))
				fill(f.Index(0), n)
				fill(f.Index(1), n+1)
			case f.Kind() == reflect.String:
				f.SetString(fmt.Sprintf("text %d \"\\\n'", n))
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			case f.CanInt():
				f.SetInt(int64(n))
			case f.CanFloat():
				f.SetFloat(1 / float64(n+2))
			}
		}
	}
}

func fullRun() Run {
	var run Run
	fill(reflect.ValueOf(&run.Model).Elem(), 0)
	run.Jobs = make([]Request, 2)
	for i := range run.Jobs {
		fill(reflect.ValueOf(&run.Jobs[i]).Elem(), 10*i)
	}
	return run
}

// TestRoundTrips holds that TOML and JSON, the latter in every casing, say the same.
func TestRoundTrips(t *testing.T) {
	runs := exampleRuns(t)
	runs["full"] = fullRun()
	runs["one job"] = Run{Model: Model{Model: "nano"}, Jobs: []Request{fullRun().Jobs[0]}}
	runs["seed 0"] = Run{Model: Model{Model: "nano"}, Jobs: []Request{{Prompt: "x"}}}
	runs["no jobs"] = Run{Model: Model{Model: "nano", Threads: 1}, Jobs: []Request{Default()}}
	for i, group := range equalRequests {
		run, err := DecodeJSON([]byte(group[0]))
		require.NoError(t, err)
		runs[fmt.Sprint("group ", i)] = run
	}
	for name, run := range runs {
		text, err := run.EncodeTOML()
		require.NoError(t, err, name)
		back, err := DecodeTOML(text)
		require.NoError(t, err, "%s\n%s", name, text)
		assert.Equal(t, run.Model, back.Model, "%s\n%s", name, text)
		assert.Equal(t, run.Jobs, back.Jobs, "%s\n%s", name, text)
		for _, c := range Casings {
			text, err := run.EncodeJSON(c)
			require.NoError(t, err, name)
			back, err := DecodeJSON(text)
			require.NoError(t, err, "%s\n%s", name, text)
			assert.Equal(t, run.Model, back.Model, "%s\n%s", name, text)
			assert.Equal(t, run.Jobs, back.Jobs, "%s\n%s", name, text)
			if name == "full" {
				assert.Equal(t, c, back.Casing)
				again, err := back.EncodeJSON(c)
				require.NoError(t, err)
				assert.Equal(t, string(text), string(again))
			}
		}
	}
}

func TestEncodeIsShort(t *testing.T) {
	run := Run{
		Model: Model{Model: "nano"},
		Jobs:  []Request{{Prompt: "a fox", Seed: 7, GuidanceScale: 5, SchedulerOptions: map[string]any{"use_karras_sigmas": true}}},
	}
	text, err := run.EncodeTOML()
	require.NoError(t, err)
	assert.Equal(
		t,
		"model = \"nano\"\nprompt = \"a fox\"\nseed = 7\nguidance_scale = 5.0\n\n[scheduler_options]\nuse_karras_sigmas = true\n",
		string(text),
	)
	text, err = run.EncodeJSON(CamelCase)
	require.NoError(t, err)
	assert.Equal(t, `{
  "model": "nano",
  "prompt": "a fox",
  "seed": 7,
  "guidanceScale": 5.0,
  "schedulerOptions": {
    "useKarrasSigmas": true
  }
}
`, string(text))
}

func TestEncodeRefuses(t *testing.T) {
	for want, r := range map[string]Request{
		"jobs[0].init_image: is a picture in memory": {InitImage: Picture{Image: image.NewGray(image.Rect(0, 0, 1, 1))}},
		"jobs[0].noise: is an array in memory":       {Noise: Array{Data: []float32{1}}},
		"jobs[0].strength: is NaN":                   {Strength: math.NaN()},
		"jobs[0].lora[0].weight: is +Inf":            {LoRAs: []lora.Adapter{{Weight: new(math.Inf(1))}}},
	} {
		_, err := Run{Jobs: []Request{r}}.EncodeTOML()
		assert.ErrorContains(t, err, want)
		_, err = Run{Jobs: []Request{r}}.EncodeJSON(SnakeCase)
		assert.ErrorIs(t, err, ErrInvalid)
	}
}
