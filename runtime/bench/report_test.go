package bench

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// result is a result of a type whose pictures take so many seconds and so much memory, with a worst PSNR; 0: the reference.
func result(typ string, seconds float64, memory int64, psnr float64) Result {
	c := Case{Model: "m", Type: typ, Width: 64, Height: 64, Batch: 1, Device: "cpu", Scheduler: "EulerDiscrete"}
	one := summarize([]float64{seconds, seconds, seconds, seconds})
	samples := func(v float64) []float64 { return []float64{v, v * 1.01, v * 0.99, v * 1.02} }
	r := Result{
		Case:        c,
		Key:         c.Key(),
		IsReference: psnr == 0,
		Precision:   "f16",
		Threads:     2,
		FileBytes:   memory / 2,
		Load:        one,
		Text:        one,
		Step:        one,
		Decode:      one,
		Image:       one,
		Rate:        1 / seconds,
		PeakRSS:     memory,
		NativeBytes: memory * 3 / 4,
		Components:  []component{{Name: "unet", Type: typ, Device: "cpu", ParameterBytes: memory / 2, ComputeBytes: memory / 4}},
		Samples: Samples{
			Load:   samples(seconds),
			Text:   samples(seconds),
			Step:   samples(seconds),
			Decode: samples(seconds),
			Image:  samples(seconds),
		},
	}
	if psnr > 0 {
		r.Quality = &quality{
			Reference:   "m f32 64x64 batch 1 cpu EulerDiscrete",
			Pictures:    2,
			NMSE:        1e-3,
			NMSEWorst:   2e-3,
			Cosine:      0.99,
			CosineWorst: 0.98,
			PSNR:        psnr + 1,
			PSNRWorst:   psnr,
			SSIM:        0.9,
			SSIMWorst:   0.8,
		}
		if psnr == EqualPSNR {
			r.Quality.EqualPicture, r.Quality.PSNR = 2, EqualPSNR
		}
	}
	return r
}

func testReport(results ...Result) *Report {
	r := &Report{
		Schema:  Schema,
		Created: time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC),
		Command: []string{"daguerre", "bench"},
		Seconds: 12,
		Machine: Machine{
			CPU:         "CPU <1>",
			Cores:       2,
			Features:    []string{"avx2"},
			MemoryBytes: 8 << 30,
			System:      "linux",
			Load:        []float64{3, 1},
			Devices:     []backend.Device{{ID: "cpu", Kind: "cpu"}},
		},
		Build: Build{
			Version:  "1.0",
			Revision: "abc",
			Engine:   "engine 1",
			Library:  "libdaguerre-cpu 1",
			Compiler: "cc 1",
			Features: []string{"llamafile"},
			Go:       "go1.26",
		},
		Settings: Settings{Steps: 4, Warmup: 1, Rounds: 1, Prompts: []Prompt{{Prompt: "p", Seed: 1}}, Processes: true},
		Models: []ModelReport{
			{Label: "m", File: "m.gguf", FileType: "f16", FileBytes: 1, Parameters: 3_000_000_000, Kind: "sdxl-base"},
		},
		Results: results,
		Notes:   []string{},
	}
	r.Advice = Recommend(results, Limits{})
	return r
}

func threeResults() []Result {
	a := result("f32", 4, 4<<30, 0)
	joules := summarize([]float64{5})
	a.Joules = &joules
	a.Checked = &checked{Pictures: 4, Colour: 4, Background: 4, Shape: 4, Right: 3, IoU: 0.9}
	return []Result{a, result("q8_0", 3, 2<<30, 40), result("q4_k", 2, 1<<30, 20)}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(SchemaJSON))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("report.schema.json", doc))
	s, err := c.Compile("report.schema.json")
	require.NoError(t, err)
	return s
}

// A report keeps to the schema, and the schema tells defects.
func TestSchema(t *testing.T) {
	s := schema(t)
	failed := result("q2_k", 1, 1<<20, 0)
	failed.Error = "broken"
	r := testReport(append(threeResults(), failed)...)
	validate := func(change func(m map[string]any)) error {
		var b bytes.Buffer
		require.NoError(t, r.Write(&b))
		var m map[string]any
		require.NoError(t, json.Unmarshal(b.Bytes(), &m))
		change(m)
		data, err := json.Marshal(m)
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		return s.Validate(doc)
	}
	require.NoError(t, validate(func(map[string]any) {}))
	first := func(m map[string]any) map[string]any { return m["results"].([]any)[0].(map[string]any) }
	for name, change := range map[string]func(m map[string]any){
		"another schema":    func(m map[string]any) { m["schema"] = 2 },
		"an unknown field":  func(m map[string]any) { first(m)["speed"] = 1 },
		"a missing field":   func(m map[string]any) { delete(first(m), "step") },
		"a text as number":  func(m map[string]any) { first(m)["load"].(map[string]any)["median"] = "1" },
		"a negative time":   func(m map[string]any) { first(m)["samples"].(map[string]any)["step"] = []any{-1.0} },
		"a folder":          func(m map[string]any) { m["models"].([]any)[0].(map[string]any)["file"] = "/home/me/m.gguf" },
		"no results":        func(m map[string]any) { m["results"] = []any{} },
		"a time that is no": func(m map[string]any) { m["created"] = "yesterday" },
	} {
		assert.Error(t, validate(change), name)
	}
}

func TestReadReport(t *testing.T) {
	r := testReport(threeResults()...)
	path := filepath.Join(t.TempDir(), "r.json")
	var b bytes.Buffer
	require.NoError(t, r.Write(&b))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	back, err := ReadReport(path)
	require.NoError(t, err)
	assert.Equal(t, r, back)
	for text, says := range map[string]string{"{": "unexpected end", "{}": "no schema", `{"schema":9,"results":[]}`: "schema is 9",
		"[]": "cannot unmarshal"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := ReadReport(path)
		assert.ErrorIs(t, err, ErrReport)
		assert.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, "r.json")
	}
	_, err = ReadReport(path + ".absent")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestTables(t *testing.T) {
	failed := result("q2_k", 1, 1<<20, 0)
	failed.Error = "broken | and\nbent"
	r := testReport(append(threeResults(), failed)...)
	rows := r.Rows()
	require.Len(t, rows, 4)
	for _, row := range rows[:3] {
		assert.Len(t, row, len(r.Header()))
	}
	assert.Equal(
		t,
		[]string{
			"f32",
			"4",
			"4",
			"4",
			"0 %",
			"4",
			"4",
			"0.25",
			"2.00 GiB",
			"3.00 GiB",
			"4.00 GiB",
			"reference",
			"",
			"",
			"",
			"",
			"3/4",
			"5",
		},
		rows[0],
	)
	assert.Equal(t, []string{"41.0", "40.0", "0.9000", "0.001", "0.990000", "-", "-"}, rows[1][11:])
	var b bytes.Buffer
	require.NoError(t, r.WriteMarkdown(&b))
	columns := 0
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "|") {
			n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			assert.True(t, columns == 0 || n == columns, line)
			columns = n
		}
	}
	assert.Contains(t, b.String(), "broken \\| and bent")
	assert.Contains(t, b.String(), "|  | loading, s | text, s | one step, s | ± | VAE, s | picture, s | pictures/s |")
	assert.Contains(t, b.String(), "CPU <1>, 2 cores, 8.00 GiB, linux; avx2; load average 3.0 before, 1.0 after")

	b.Reset()
	require.NoError(t, r.WriteCSV(&b))
	table, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err, "rows of one length")
	require.Len(t, table, 5)
	column := func(name string, row int) string {
		for i, h := range table[0] {
			if h == name {
				return table[row][i]
			}
		}
		t.Fatal(name)
		return ""
	}
	assert.Equal(t, "3", column("step_s_median", 2))
	assert.Equal(t, "40", column("psnr_db_worst", 2))
	assert.Equal(t, "3", column("right", 1))
	assert.Equal(t, "broken | and\nbent", column("error", 4))
}

func TestNotes(t *testing.T) {
	r := testReport(threeResults()...)
	r.AddNotes()
	assert.Len(t, r.Notes, 1, "the load")
	r.Notes, r.Machine.Load, r.Settings.Processes, r.Models[0].Synthetic = nil, []float64{0.2, 2}, false, true
	r.AddNotes()
	require.Len(t, r.Notes, 2)
	assert.Contains(t, r.Notes[0], "random")
	assert.Contains(t, r.Notes[1], "one process")
}

// A report says of which model and size its figures are, and that a small model is not a large one.
func TestReportNamesModelAndSize(t *testing.T) {
	r := testReport(threeResults()...)
	r.Machine.Load = nil
	r.AddNotes()
	assert.Empty(t, r.Notes, "a full-size model")
	size := fmt.Sprintf("%d x %d", r.Results[0].Width, r.Results[0].Height)
	assert.Equal(t, "figures of m: sdxl-base with 3000 million weights, pictures of "+size+" pixels", r.Conditions()[0])
	r.Models[0].Parameters = 14_000_000
	r.AddNotes()
	require.Len(t, r.Notes, 1)
	assert.Contains(t, r.Notes[0], "m is a small model (14 million weights; SDXL has 3470 million)")
	assert.Contains(t, r.Notes[0], "--model FILE")
}
