//go:build !race

// The race detector makes times meaningless.

package adapters

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// loadCases are the sizes that loading is timed at, and the most it may take (median, from the file cache).
var loadCases = []struct {
	name  string
	kind  synth.Kind
	rank  int
	model *Model
	runs  int
	most  time.Duration
}{
	{"nano.safetensors", synth.KindNanoLoRA, 8, nano, 21, 15 * time.Millisecond},
	{"nano.pt", synth.KindNanoLoRA, 8, nano, 21, 20 * time.Millisecond},
	{"sdxl-rank32.safetensors", synth.KindSDXLLoRA, 32, sdxl, 3, time.Second},
}

// load reads a file as the cache does, up to what is given to the model.
func load(t testing.TB, path string, model *Model) (targets int) {
	f, err := Open(path, model)
	require.NoError(t, err)
	defer f.Close()
	list, err := f.Targets(t.Context())
	require.NoError(t, err)
	assert.False(t, f.Report.Partial())
	return len(list)
}

func TestLoadTimes(t *testing.T) {
	for _, c := range loadCases {
		path := filepath.Join(t.TempDir(), c.name)
		require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: c.kind, Rank: c.rank}))
		var took []time.Duration
		targets := 0
		for range c.runs {
			began := time.Now()
			targets = load(t, path, c.model)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%-24s %d modules, median %v", c.name, targets, took[len(took)/2].Round(10*time.Microsecond))
		// The fastest run, since a machine busy with other tests says nothing of the reader; the median is in docs/lora.md.
		assert.Less(t, took[0], c.most, c.name)
	}
}

// BenchmarkLoad reports the same times, and MB/s of the file.
func BenchmarkLoad(b *testing.B) {
	for _, c := range loadCases {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), c.name)
			opt := synth.Options{Kind: c.kind, Rank: c.rank}
			require.NoError(b, synth.Write(b.Context(), path, opt))
			size, err := synth.Size(opt)
			require.NoError(b, err)
			b.SetBytes(size)
			for b.Loop() {
				load(b, path, c.model)
			}
		})
	}
}
