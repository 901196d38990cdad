package rng

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type torchCase struct {
	Seed     uint64               `json:"seed,string"`
	Bits24   []uint32             `json:"bits24"`
	Bits53   []string             `json:"bits53"`
	Normal   map[string][]float64 `json:"normal"`
	Normal64 map[string][]float64 `json:"normal64"`
	Mixed    [][]float64          `json:"mixed"`
	Big      struct {
		Head, Tail []float64
		Sum, SumSq float64
	} `json:"big"`
}

// torchCases reads what tools/schedgoldens/rng.py wrote.
func torchCases(t *testing.T) []torchCase {
	t.Helper()
	data, err := os.ReadFile("testdata/torch_cpu.json")
	require.NoError(t, err)
	var f struct {
		Cases []torchCase `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(data, &f))
	require.NotEmpty(t, f.Cases)
	return f.Cases
}

func near(t *testing.T, want []float64, got []float32, tolerance float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for i := range want {
		if d := math.Abs(want[i] - float64(got[i])); !(d <= tolerance*math.Max(1, math.Abs(want[i]))) {
			t.Fatalf("%s[%d]: %v, torch has %v (difference %.2g)", what, i, got[i], want[i], d)
		}
	}
}

func TestTorchCPURawDraws(t *testing.T) {
	for _, c := range torchCases(t) {
		g := NewTorchCPU(c.Seed)
		for i := range 700 {
			v := g.Uint32() & (1<<24 - 1)
			if i >= 690 {
				assert.Equal(t, c.Bits24[i-690], v, "seed %d, draw %d", c.Seed, i)
			}
		}
		g.Seed(c.Seed)
		for i, want := range c.Bits53 {
			assert.Equal(t, want, strconv.FormatUint(g.Uint64()&(1<<53-1), 10), "seed %d, 64-bit draw %d", c.Seed, i)
		}
	}
}

func TestTorchCPUNormal(t *testing.T) {
	for _, c := range torchCases(t) {
		for n, want := range c.Normal {
			size, err := strconv.Atoi(n)
			require.NoError(t, err)
			got := make([]float32, size)
			NewTorchCPU(c.Seed).Normal(got)
			near(t, want, got, 1e-6, fmt.Sprintf("seed %d, randn(%s)", c.Seed, n))
		}
		for n, want := range c.Normal64 {
			got := make([]float64, len(want))
			NewTorchCPU(c.Seed).Normal64(got)
			for i := range want {
				assert.InDelta(t, want[i], got[i], 1e-14, "seed %d, float64 randn(%s)[%d]", c.Seed, n, i)
			}
		}
		g := NewTorchCPU(c.Seed)
		for k, want := range c.Mixed {
			got := make([]float32, len(want))
			g.Normal(got)
			near(t, want, got, 1e-6, fmt.Sprintf("seed %d, call %d", c.Seed, k))
		}
		big := make([]float32, 4*128*128)
		NewTorchCPU(c.Seed).Normal(big)
		near(t, c.Big.Head, big[:8], 1e-6, "head")
		near(t, c.Big.Tail, big[len(big)-8:], 1e-6, "tail")
		sum, sq := 0.0, 0.0
		for _, v := range big {
			sum += float64(v)
			sq += float64(v) * float64(v)
		}
		assert.InDelta(t, c.Big.Sum, sum, 1e-2)
		assert.InEpsilon(t, c.Big.SumSq, sq, 1e-6)
	}
}

// The known answers of the Random123 distribution (kat_vectors).
func TestPhiloxKnownAnswers(t *testing.T) {
	all := uint32(0xffffffff)
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, [2]uint32{all, all}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		assert.Equal(t, c.want, philox4x32(c.counter, c.key))
	}
}

// torch.randn(12, device="cuda") after manual_seed(0), as published with AUTOMATIC1111's generator.
func TestPhiloxNormal(t *testing.T) {
	want := []float64{-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564,
		-0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497}
	got := make([]float32, len(want))
	p := NewPhilox(0)
	p.Normal(got)
	near(t, want, got, 1e-6, "randn")
	again := make([]float32, len(want))
	p.Normal(again)
	assert.NotEqual(t, got, again, "the second call is other noise")
	p.Seed(0)
	p.Normal(again)
	assert.Equal(t, got, again)
}

func TestPhiloxDistribution(t *testing.T) {
	const n = 1 << 16
	buf := make([]float32, n)
	p := NewPhilox(1<<40 + 5)
	p.Uniform(buf)
	mean := 0.0
	for _, v := range buf {
		require.True(t, v >= 0 && v < 1)
		mean += float64(v) / n
	}
	assert.InDelta(t, 0.5, mean, 0.01)
	p.Normal(buf)
	m, v := 0.0, 0.0
	for _, x := range buf {
		m += float64(x) / n
		v += float64(x) * float64(x) / n
	}
	assert.InDelta(t, 0, m, 0.02)
	assert.InDelta(t, 1, v, 0.03)
}

func TestBatchIsIndependentOfBatching(t *testing.T) {
	const n = 40
	for _, kind := range Kinds {
		var batch Batch
		var alone []float32
		for seed := range uint64(3) {
			g, err := New(kind, seed)
			require.NoError(t, err)
			batch = append(batch, g)
			one, err := New(kind, seed)
			require.NoError(t, err)
			buf := make([]float32, n)
			one.Normal(buf)
			alone = append(alone, buf...)
		}
		got := make([]float32, 3*n)
		require.NoError(t, batch.Normal(got))
		assert.Equal(t, alone, got)
		assert.ErrorContains(t, batch.Normal(got[:10]), "3 generators")
	}
	_, err := New("quantum", 0)
	assert.ErrorContains(t, err, `"cpu"`)
}

func BenchmarkTorchCPUNormal(b *testing.B) {
	buf := make([]float32, 4*128*128)
	g := NewTorchCPU(0)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		g.Normal(buf)
	}
}

func ExampleNewTorchCPU() {
	noise := make([]float32, 4)
	NewTorchCPU(42).Normal(noise)
	fmt.Printf("%.4f\n", noise)
	// Output: [0.3367 0.1288 0.2345 0.2303]
}
