package table

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// labelsOf are the labels of an axis.
func labelsOf(a Axis) (out []string) {
	for i := range a.Values {
		out = append(out, a.Label(i))
	}
	return out
}

func TestParseAxis(t *testing.T) {
	for text, want := range map[string][]string{
		"seed=1,2, 3":                         {"1", "2", "3"},
		"seed=1-4":                            {"1", "2", "3", "4"},
		"seed=4-2":                            {"4", "3", "2"},
		"steps=10-30 (+10)":                   {"10", "20", "30"},
		"steps=30-10 (-10)":                   {"30", "20", "10"},
		"cfg_scale=3-8 [3]":                   {"3", "5.5", "8"},
		"cfg_scale=0.1-0.5 (+0.2),2":          {"0.1", "0.3", "0.5", "2"},
		`prompt=a fox,"a fox, in snow"`:       {"a fox", "a fox, in snow"},
		"replace=1-3,red":                     {"1-3", "red"},
		"scheduler=DPM++ 2M Karras,k_dpm_2_a": {"DPM++ 2M Karras", "k_dpm_2_a"},
		"negative_prompt=,ring":               {"", "ring"},
		"seed=1-5 (-1)":                       {"1-5 (-1)"}, // which is no range, and no seed either
	} {
		a, err := ParseAxis("x", text)
		require.NoError(t, err, text)
		assert.Equal(t, want, labelsOf(a), text)
	}
	for _, text := range []string{"", "seed", "=1", "seed=1,1", "seed=1-20000"} {
		_, err := ParseAxis("x", text)
		assert.Error(t, err, text)
	}
}

// TestExpandSetsAnyKey: a value reaches the field that its key names, in jobs, tables, [model], adapters and prompts.
func TestExpandSetsAnyKey(t *testing.T) {
	weight := 0.7
	run := request.Run{Model: request.Model{Model: "nano"}, Jobs: []request.Request{{Prompt: "a red ring", NegativePrompt: "red", Seed: 3,
		LoRAs: []lora.Adapter{{Name: "ink", Weight: &weight}, {Name: "detail"}}}}}
	for text, get := range map[string]func(c Cell) any{
		"seed=5,6":                      func(c Cell) any { return c.Job.Seed },
		"steps=5,6":                     func(c Cell) any { return c.Job.NumInferenceSteps },
		"cfg_scale=5,6":                 func(c Cell) any { return c.Job.GuidanceScale },
		"hires.scale=5,6":               func(c Cell) any { return c.Job.Hires.Scale },
		"guidance.norm-threshold=5,6":   func(c Cell) any { return *c.Job.Guidance.NormThreshold },
		"threads=5,6":                   func(c Cell) any { return c.Model.Threads },
		"model.threads=5,6":             func(c Cell) any { return c.Model.Threads },
		"model.memory.max_batch=5,6":    func(c Cell) any { return c.Model.Memory.MaxBatch },
		"model=5,6":                     func(c Cell) any { return c.Model.Model },
		"scheduler=5,6":                 func(c Cell) any { return c.Job.Scheduler },
		"lora.ink=5,6":                  func(c Cell) any { return *c.Job.LoRAs[0].Weight },
		"scheduler_options.s_churn=5,6": func(c Cell) any { return c.Job.SchedulerOptions["s_churn"] },
		"prompt=5,6":                    func(c Cell) any { return c.Job.Prompt },
	} {
		a, err := ParseAxis("x", text)
		require.NoError(t, err, text)
		cells, err := Table{Axes: [3]Axis{a}}.Expand(run, func(string) string { return "--x" })
		require.NoError(t, err, text)
		require.Len(t, cells, 2)
		assert.Equal(t, "5", fmt.Sprint(get(cells[0])), text)
		assert.Equal(t, "6", fmt.Sprint(get(cells[1])), text)
	}
	assert.InDelta(t, 0.7, *run.Jobs[0].LoRAs[0].Weight, 0, "the run itself is not changed")

	a, err := ParseAxis("y", "replace=red,blue")
	require.NoError(t, err)
	cells, err := Table{Axes: [3]Axis{1: a}}.Expand(run, func(string) string { return "--y" })
	require.NoError(t, err)
	assert.Equal(t, []string{"a red ring", "red", "a blue ring", "blue"}, []string{cells[0].Job.Prompt, cells[0].Job.NegativePrompt,
		cells[1].Job.Prompt, cells[1].Job.NegativePrompt})
}

// TestExpandOrder: cells go row by row, then sheet by sheet.
func TestExpandOrder(t *testing.T) {
	var table Table
	for i, text := range []string{"seed=1,2", "steps=3,4", "clip_skip=0,1"} {
		var err error
		table.Axes[i], err = ParseAxis(Names[i], text)
		require.NoError(t, err)
	}
	cells, err := table.Expand(request.Run{Jobs: []request.Request{{Prompt: "x"}}}, func(a string) string { return a })
	require.NoError(t, err)
	var got []string
	for _, c := range cells {
		got = append(got, fmt.Sprint(c.Job.Seed, c.Job.NumInferenceSteps, c.Job.ClipSkip))
	}
	assert.Equal(t, []string{"1 3 0", "2 3 0", "1 4 0", "2 4 0", "1 3 1", "2 3 1", "1 4 1", "2 4 1"}, got)
}

func TestFromFile(t *testing.T) {
	s, err := FromFile(map[string]any{"x": map[string]any{"key": "seed", "values": []any{int64(1), int64(2)}}, "y": "steps=3-5",
		"csv": "a.csv"})
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2"}, labelsOf(s.Axes[0]))
	assert.Equal(t, []string{"3", "4", "5"}, labelsOf(s.Axes[1]))
	assert.Equal(t, "a.csv", s.CSV)
	for _, bad := range []any{"x", map[string]any{"w": 1}, map[string]any{"x": 3}, map[string]any{"x": map[string]any{"key": "seed"}},
		map[string]any{"grid": 3}, map[string]any{"x": map[string]any{"values": []any{1}}}, map[string]any{"x": map[string]any{"keys": 1}}} {
		_, err := FromFile(bad)
		assert.Error(t, err, "%v", bad)
	}
}
