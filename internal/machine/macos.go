package machine

import "encoding/binary"

// darwinFigures is what macOS tells of memory. Pages are counted in bytes here. It is apart from the calls, so that it is tested on every
// system.
type darwinFigures struct {
	total                     int64 // hw.memsize
	free, purgeable, external int64 // pages that are free, that programs have given up, and that are files'
	process                   int64 // of this process, in memory
}

// available is what the Activity Monitor does not call used: what is free, and what the system can drop.
func (f darwinFigures) available() int64 { return min(f.free+f.purgeable+f.external, f.total) }

func (f darwinFigures) system() (System, bool) {
	s := System{TotalBytes: f.total, AvailableBytes: f.available(), ProcessBytes: f.process, Limit: limitOfMachine}
	return s, f.total > 0 && f.available() > 0 && f.process > 0
}

// loadOf reads a struct loadavg of <sys/resource.h>: three fixed-point numbers of 32 bits, then what 1 is.
func loadOf(raw []byte) (float64, bool) {
	if len(raw) < 24 {
		return 0, false
	}
	one := binary.LittleEndian.Uint64(raw[16:])
	if one == 0 {
		return 0, false
	}
	return float64(binary.LittleEndian.Uint32(raw)) / float64(one), true
}
