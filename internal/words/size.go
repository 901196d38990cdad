package words

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rounding says how many decimals a size has from so many bytes on; below all of them it has one.
type rounding struct {
	from     int64
	decimals int
}

var (
	budget = []rounding{{10 << 30, 1}, {1 << 30, 2}, {10 << 20, 0}, {1 << 20, 1}, {1 << 10, 0}}
	fine   = []rounding{{1 << 30, 2}}
)

// Bytes writes the size of a file, a tensor or a device: "813 B", "5.2 MiB", "1.5 GiB".
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return size(n, "KMGTPE", nil)
}

// Budget writes an amount of memory in a plan, with about three digits: "6.42 GiB", "310 MiB", "12 KiB", "5 bytes".
func Budget(n int64) string {
	switch {
	case n < 0:
		return "-" + Budget(-n)
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	}
	return size(n, "KMG", budget)
}

// Measured writes measured memory: "6.42 GiB", "310.4 MiB", "0.5 KiB".
func Measured(n int64) string { return size(n, "KMG", fine) }

// size writes n in the largest of the units that it has one of, or in the smallest.
func size(n int64, units string, steps []rounding) string {
	x, unit := float64(n)/(1<<10), 0
	for x >= 1<<10 && unit < len(units)-1 {
		x /= 1 << 10
		unit++
	}
	decimals := 1
	if at := slices.IndexFunc(steps, func(r rounding) bool { return n >= r.from }); at >= 0 {
		decimals = steps[at].decimals
	}
	return fmt.Sprintf("%.*f %ciB", decimals, x, units[unit])
}

var units = []struct {
	suffix string
	bytes  float64
}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
	{"", 1}}

// ParseBytes reads "6GiB", "800 MB" or "1.5e9"; false for what is no size.
func ParseBytes(s string) (int64, bool) {
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	for _, unit := range units {
		number, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(x) || x < 0 || x*unit.bytes >= math.MaxInt64 {
			return 0, false
		}
		return int64(x * unit.bytes), true
	}
	return 0, false
}
