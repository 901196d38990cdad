package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/bench"
)

// readReport reads a report after it was held against the schema.
func readReport(t *testing.T, path string) *bench.Report {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(bench.SchemaJSON))
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("schema.json", text))
	schema, err := c.Compile("schema.json")
	require.NoError(t, err)
	require.NoError(t, schema.Validate(doc))
	r, err := bench.ReadReport(path)
	require.NoError(t, err)
	return r
}

// bench as it is called without flags: done in less than a minute of one core; its JSON keeps to the schema, each session has a
// process of its own, and the figures are in an order that cannot be otherwise. `make bench-smoke` runs it alone.
func TestBenchSmoke(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.json")
	r := run(t, "bench", "--json", file, "--html", filepath.Join(dir, "r.html"), "--min-psnr", "20")
	require.Equal(t, 0, r.code, r.stderr)
	assert.Less(t, r.cpuSeconds, 60.0, "of all its processes")
	report := readReport(t, file)
	require.Len(t, report.Results, 4)
	assert.True(t, report.Settings.Processes)
	assert.NotEmpty(t, report.Build.Engine)
	assert.NotEmpty(t, report.Machine.Features)
	f32, f16, q8, q4 := report.Results[0], report.Results[1], report.Results[2], report.Results[3]
	assert.True(t, f32.IsReference)
	assert.Equal(t, "exact", f32.Precision)
	for _, x := range report.Results {
		assert.Equal(t, 2, x.Checked.Pictures, x.Type)
		assert.Greater(t, x.PeakRSS, x.NativeBytes*3/4, x.Type)
	}
	assert.Less(t, f16.FileBytes, f32.FileBytes)
	assert.Less(t, q8.FileBytes, f16.FileBytes)
	assert.Less(t, q4.FileBytes, q8.FileBytes)
	assert.Less(t, f16.NativeBytes, f32.NativeBytes)
	assert.Less(t, f16.PeakRSS, f32.PeakRSS, "processes do not inherit each other's memory")
	assert.GreaterOrEqual(t, f16.Quality.PSNRWorst, 40.0, "F16 stays within 40 dB of F32 on every picture")
	assert.Less(t, f16.Quality.PSNRWorst, bench.EqualPSNR, "and is another type")
	assert.GreaterOrEqual(t, q8.Quality.PSNRWorst, 30.0, "so do converted files, within 30 dB")
	assert.Greater(t, f16.Quality.PSNR, q8.Quality.PSNR)
	assert.Greater(t, q8.Quality.PSNR, q4.Quality.PSNR)
	assert.Less(t, f16.Quality.NMSE, q8.Quality.NMSE)
	assert.NotEmpty(t, report.Advice.Choice)
	compare := run(t, "bench", "compare", file, file)
	assert.Equal(t, 0, compare.code, compare.stderr)
}

// BF16, which CPUs with BF16 products take by default, stays within 40 dB of F32 on every picture, too.
func TestBF16IsFaithful(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	r := run(t, "bench", "--types", "f32,bf16", "--steps", "6", "--images", "2", "--rounds", "1", "--warmup", "0", "--json", file, "--quiet")
	require.Equal(t, 0, r.code, r.stderr)
	report := readReport(t, file)
	require.Len(t, report.Results, 2)
	x := report.Results[1]
	assert.GreaterOrEqual(t, x.Quality.PSNRWorst, 40.0)
	assert.Less(t, x.Quality.PSNRWorst, bench.EqualPSNR, "it is another type")
	assert.Equal(t, "bf16", componentType(x, "unet"))
}

func componentType(r bench.Result, name string) string {
	for _, c := range r.Components {
		if c.Name == name {
			return c.Type
		}
	}
	return ""
}
