package machine

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestEnergy(t *testing.T) {
	root := fstest.MapFS{}
	write := func(zone, file, text string) {
		root[powercap+"/"+zone+"/"+file] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	_, ok := newEnergy(root).Read()
	assert.False(t, ok, "no counter")
	for zone, name := range map[string]string{"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core",
		"intel-rapl:2": "psys"} {
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
	delete(root, powercap+"/intel-rapl:1/energy_uj")
	_, ok = e.Read()
	assert.False(t, ok)
}
