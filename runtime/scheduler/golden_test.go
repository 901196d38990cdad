package scheduler

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goldenModel and goldenNoise are the same functions as in tools/schedgoldens/goldens.py.
func goldenModel(dst, x []float32, t float64) {
	for j, v := range x {
		x := float64(v)
		dst[j] = float32(0.8*x + 0.2*math.Sin(1.3*x+0.01*t+0.1*float64(j)))
	}
}

// goldenLearned adds the variance of a model that learned it: to each picture's prediction, its own.
func goldenLearned(prediction, x []float32, t float64, batch int) []float32 {
	n := len(x) / batch
	var out []float32
	for i := range batch {
		out = append(out, prediction[i*n:(i+1)*n]...)
		for j := i * n; j < (i+1)*n; j++ {
			out = append(out, float32(0.3+0.2*math.Sin(0.7*float64(x[j])+0.02*t+float64(j))))
		}
	}
	return out
}

func goldenNoise(dst []float32, k int) {
	for j := range dst {
		dst[j] = float32(math.Sqrt2 * math.Sin(12.9898*(1+float64(j))+78.233*float64(k)+0.37*float64(k)*float64(j)))
	}
}

// goldenDraws counts draws from 2 on, as the Python side does.
type goldenDraws struct{ made int }

func (g *goldenDraws) Normal(dst []float32) error {
	goldenNoise(dst, g.made+2)
	g.made++
	return nil
}

// goldenTolerance is the largest relative distance of a sample from diffusers', in the committed goldens. There are no exceptions.
const goldenTolerance = 1e-5

// sweepTolerance is that in goldens of another folder.
const sweepTolerance = 1e-4

type goldenRun struct {
	NumInferenceSteps int       `json:"num_inference_steps"`
	Timesteps         []float64 `json:"timesteps"`
	Sigmas            []float64 `json:"sigmas"`
	Strength          float64   `json:"strength"`
	DenoisingStart    float64   `json:"denoising_start"`
	DenoisingEnd      float64   `json:"denoising_end"`
}

type goldenCase struct {
	Name           string          `json:"name"`
	Config         json.RawMessage `json:"config"`
	Run            goldenRun       `json:"run"`
	Timesteps      []float64       `json:"timesteps"`
	Sigmas         []float64       `json:"sigmas"`
	InitNoiseSigma float64         `json:"init_noise_sigma"`
	Draws          int             `json:"draws"`
	Rows           int             `json:"rows"`
}

type goldenFile struct {
	Class string       `json:"class"`
	Shape []int        `json:"shape"`
	Cases []goldenCase `json:"cases"`
}

// readNPY reads a two-dimensional little-endian float32 array of numpy's format 1.0.
func readNPY(t *testing.T, path string) [][]float32 {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x93NUMPY\x01\x00", string(data[:8]), path)
	end := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	header := string(data[10:end])
	require.Contains(t, header, "'descr': '<f4', 'fortran_order': False", path)
	var rows, cols int
	_, err = fmt.Sscanf(header[strings.Index(header, "'shape'"):], "'shape': (%d, %d)", &rows, &cols)
	require.NoError(t, err, header)
	require.Len(t, data[end:], rows*cols*4)
	out := make([][]float32, rows)
	for i := range out {
		out[i] = make([]float32, cols)
		for j := range out[i] {
			out[i][j] = math.Float32frombits(binary.LittleEndian.Uint32(data[end+4*(i*cols+j):]))
		}
	}
	return out
}

// relL2 is |a-b| / |b|.
func relL2(a, b []float32) float64 {
	d, n := 0.0, 0.0
	for i := range a {
		e := float64(a[i]) - float64(b[i])
		d += e * e
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / math.Max(n, 1e-30))
}

func requireClose(t *testing.T, want, got []float64, rel, floor float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if d := math.Abs(want[i] - got[i]); !(d <= rel*math.Max(math.Abs(want[i]), floor)) {
			t.Fatalf("%s[%d] is %.9g, diffusers has %.9g", what, i, got[i], want[i])
		}
	}
}

// TestGoldens compares every sample of every case with diffusers'. DAGUERRE_GOLDENS is a folder of other goldens to take:
// tools/schedgoldens/sweep.py writes one that is too large to commit.
func TestGoldens(t *testing.T) {
	folder, tolerance := filepath.Join("testdata", "goldens"), goldenTolerance
	if other := os.Getenv("DAGUERRE_GOLDENS"); other != "" {
		folder, tolerance = other, sweepTolerance
	}
	for _, a := range algorithms {
		t.Run(a.Name, func(t *testing.T) {
			base := filepath.Join(folder, a.Name)
			data, err := os.ReadFile(base + ".json")
			require.NoError(t, err)
			var f goldenFile
			require.NoError(t, json.Unmarshal(data, &f))
			require.Equal(t, a.Name, f.Class)
			rows := readNPY(t, base+".npy")
			worst := 0.0
			for _, c := range f.Cases {
				t.Run(c.Name, func(t *testing.T) {
					worst = math.Max(worst, testGolden(t, a.Name, f.Shape, c, rows[:c.Rows], tolerance))
				})
				rows = rows[c.Rows:]
			}
			require.Empty(t, rows)
			t.Logf("%d cases, largest relative error of a sample %.2g", len(f.Cases), worst)
		})
	}
}

func testGolden(t *testing.T, name string, shape []int, c goldenCase, want [][]float32, tolerance float64) float64 {
	_, cfg, err := ParseConfig(c.Config)
	require.NoError(t, err)
	s, err := NewStrict(name, cfg)
	require.NoError(t, err)
	require.Empty(t, s.Notes())
	run, err := s.NewRun(RunOptions{
		NumInferenceSteps: c.Run.NumInferenceSteps, Timesteps: c.Run.Timesteps, Sigmas: c.Run.Sigmas, BatchSize: shape[0],
		Strength: c.Run.Strength, DenoisingStart: c.Run.DenoisingStart, DenoisingEnd: c.Run.DenoisingEnd,
	})
	require.NoError(t, err)
	requireClose(t, c.Timesteps, run.Timesteps(), 1e-6, 0.1, "timesteps")
	if c.Sigmas != nil {
		requireClose(t, c.Sigmas, run.Sigmas(), 1e-6, 1e-3, "sigmas")
	}
	assert.InEpsilon(t, c.InitNoiseSigma, run.InitNoiseSigma(), 1e-6)

	n := len(want[0])
	sample, out, in := make([]float32, n), make([]float32, n), make([]float32, n)
	goldenNoise(sample, 0)
	switch {
	case c.Run.DenoisingStart > 0:
		goldenNoise(sample, 1)
	case c.Run.Strength > 0:
		goldenNoise(in, 1)
		require.NoError(t, run.AddNoise(sample, in, sample[:n:n], 0))
	default:
		for j := range sample {
			sample[j] *= float32(run.InitNoiseSigma())
		}
	}
	draws := &goldenDraws{}
	worst := relL2(sample, want[0])
	require.Less(t, worst, 1e-6, "first sample")
	for i, ts := range run.Timesteps() {
		require.NoError(t, run.ScaleModelInput(in, sample, i))
		goldenModel(out, in, ts)
		output := out
		if run.OutputsPerValue() == 2 {
			output = goldenLearned(out, in, ts, shape[0])
		}
		require.NoError(t, run.Step(sample, output, sample, i, draws))
		e := relL2(sample, want[i+1])
		require.LessOrEqual(t, e, tolerance, "sample after evaluation %d (timestep %g)", i, ts)
		worst = math.Max(worst, e)
	}
	assert.Equal(t, c.Draws, draws.made, "draws of noise")
	return worst
}
