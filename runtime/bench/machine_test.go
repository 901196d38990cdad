package bench

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDescribeMachine(t *testing.T) {
	m := DescribeMachine()
	assert.Positive(t, m.Cores)
	assert.Contains(t, m.System, runtime.GOOS)
	if runtime.GOOS == "linux" {
		assert.Positive(t, m.MemoryBytes)
		assert.Contains(t, m.System, "kernel")
	}
}

func TestEnergy(t *testing.T) {
	root := t.TempDir()
	write := func(zone, file, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(root, zone), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, zone, file), []byte(text+"\n"), 0o644))
	}
	_, ok := newEnergy(root).read()
	assert.False(t, ok, "no counter")
	for zone, name := range map[string]string{"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core",
		"intel-rapl:2": "psys"} {
		write(zone, "name", name)
		write(zone, "energy_uj", "1000000")
		write(zone, "max_energy_range_uj", "5000000")
	}
	e := newEnergy(root)
	joules, ok := e.read()
	assert.True(t, ok)
	assert.Zero(t, joules)
	write("intel-rapl:0", "energy_uj", "3500000")
	write("intel-rapl:1", "energy_uj", "500000") // it began again: 4 J to the end, 0.5 J since
	write("intel-rapl:2", "energy_uj", "4999999")
	write("intel-rapl:0:0", "energy_uj", "4999999")
	joules, ok = e.read()
	assert.True(t, ok)
	assert.InDelta(t, 2.5+4.5, joules, 1e-9)
	require.NoError(t, os.Remove(filepath.Join(root, "intel-rapl:1", "energy_uj")))
	_, ok = e.read()
	assert.False(t, ok)
}
