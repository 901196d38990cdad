// Package disk tells how much room a disk has, and whether an error says that it is full.
package disk

import (
	"errors"
	"fmt"
)

// ErrSpace matches the error of a folder whose disk has too little room.
var ErrSpace = errors.New("not enough disk space")

// spaceMargin is left free beside what is written, for headers and other programs.
const spaceMargin = 64 << 20

// CheckSpace returns ErrSpace where dir has no room for need bytes and a margin.
func CheckSpace(dir string, need int64) error {
	free, err := Free(dir)
	if err != nil {
		return err
	}
	return Enough(dir, need, free)
}

// Enough is CheckSpace for a folder that has so many free bytes.
func Enough(dir string, need, free int64) error {
	if need+spaceMargin > free {
		return fmt.Errorf("%w: %.2f GB are needed, %.2f GB are free in %s; free some or name another disk",
			ErrSpace, float64(need+spaceMargin)/1e9, float64(free)/1e9, dir)
	}
	return nil
}
