//go:build linux || darwin || windows

package writer

import "fmt"

// spaceMargin is left free beside what is written, for headers and other programs.
const spaceMargin = 64 << 20

// CheckSpace returns ErrSpace where dir has no room for need bytes and a margin.
func CheckSpace(dir string, need int64) error {
	free, err := freeSpace(dir)
	if err != nil {
		return err
	}
	return enough(dir, need, free)
}

func enough(dir string, need, free int64) error {
	if need+spaceMargin > free {
		return fmt.Errorf("%w: %.2f GB are needed, %.2f GB are free in %s; free some or name another disk",
			ErrSpace, float64(need+spaceMargin)/1e9, float64(free)/1e9, dir)
	}
	return nil
}
