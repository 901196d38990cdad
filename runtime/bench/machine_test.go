package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKibibytes(t *testing.T) {
	const text = "Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:  17 kB\nBroken: many kB\n"
	assert.EqualValues(t, 1234*1024, kibibytes(text, "VmHWM"))
	assert.Zero(t, kibibytes(text, "Vm"))
	assert.Zero(t, kibibytes(text, "Broken"))
}

// The peak of resident memory follows what is touched, and stays.
func TestPeakRSS(t *testing.T) {
	if runtime.GOOS != "linux" {
		assert.Zero(t, PeakRSS())
		return
	}
	before := PeakRSS()
	require.Positive(t, before)
	block := make([]byte, before+64<<20)
	for i := 0; i < len(block); i += 1024 {
		block[i] = 1
	}
	after := PeakRSS()
	runtime.KeepAlive(block)
	assert.Greater(t, after, before+32<<20)
}

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
	_, ok := newEnergy(root).Read()
	assert.False(t, ok, "no counter")
	for zone, name := range map[string]string{"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core", "intel-rapl:2": "psys"} {
		write(zone, "name", name)
		write(zone, "energy_uj", "1000000")
		write(zone, "max_energy_range_uj", "5000000")
	}
	e := newEnergy(root)
	joules, ok := e.Read()
	assert.True(t, ok)
	assert.Zero(t, joules)
	write("intel-rapl:0", "energy_uj", "3500000")
	write("intel-rapl:1", "energy_uj", "500000") // it began again: 4 J to the end, 0.5 J since
	write("intel-rapl:2", "energy_uj", "4999999")
	write("intel-rapl:0:0", "energy_uj", "4999999")
	joules, ok = e.Read()
	assert.True(t, ok)
	assert.InDelta(t, 2.5+4.5, joules, 1e-9)
	require.NoError(t, os.Remove(filepath.Join(root, "intel-rapl:1", "energy_uj")))
	_, ok = e.Read()
	assert.False(t, ok)
}
