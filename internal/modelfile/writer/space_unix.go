//go:build linux || darwin

package writer

import (
	"fmt"
	"syscall"
)

// spaceMargin is left free beside what is written, for headers and other programs.
const spaceMargin = 64 << 20

// freeSpace returns the bytes an ordinary user may still write in dir.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: cannot tell the free disk space: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// CheckSpace returns ErrSpace where dir has no room for need bytes and a margin. Only Linux and macOS can tell.
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
