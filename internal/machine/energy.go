package machine

import (
	"io/fs"
	"path"
	"strings"
)

// powercap is where Linux has the counters of RAPL.
const powercap = "sys/class/powercap"

// Energy is a counter of the energy that the machine's CPU packages take, from RAPL.
type Energy struct {
	root     fs.FS
	packages []energyPackage
}

type energyPackage struct {
	file   string
	limit  int64 // microjoules at which it begins again
	last   int64
	begun  bool
	joules float64
}

// NewEnergy looks for counters that can be read: mostly by root only. Without any, Read says so.
func NewEnergy() *Energy { return newEnergy(host) }

func newEnergy(root fs.FS) *Energy {
	e := &Energy{root: root}
	zones, err := fs.Glob(root, powercap+"/intel-rapl:*")
	if err != nil {
		return e
	}
	for _, zone := range zones {
		// intel-rapl:0:1 is a part of intel-rapl:0; psys is the whole platform, packages among it.
		if strings.Count(path.Base(zone), ":") != 1 || !strings.HasPrefix(readText(root, zone+"/name"), "package") {
			continue
		}
		p := energyPackage{file: zone + "/energy_uj"}
		if limit, ok := readNumber(root, zone+"/max_energy_range_uj"); ok {
			p.limit = limit
		}
		if _, ok := readNumber(root, p.file); ok {
			e.packages = append(e.packages, p)
		}
	}
	return e
}

// Read returns the joules since the first Read, of all packages; false where there is no counter. A counter begins again after a quarter of
// an hour or more; Read must be called more often.
func (e *Energy) Read() (float64, bool) {
	sum := 0.0
	for i := range e.packages {
		p := &e.packages[i]
		now, ok := readNumber(e.root, p.file)
		if !ok {
			return 0, false
		}
		if p.begun {
			spent := now - p.last
			if spent < 0 {
				spent += p.limit
			}
			p.joules += float64(max(spent, 0)) / 1e6
		}
		p.last, p.begun = now, true
		sum += p.joules
	}
	return sum, len(e.packages) > 0
}
