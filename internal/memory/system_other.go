//go:build !linux

package memory

import (
	"errors"
	"runtime"
)

// SystemMemory is known on Linux only; elsewhere the backend's figures of its devices are all there is.
func SystemMemory() (System, error) {
	return System{}, errors.New("the memory of the host is not known on " + runtime.GOOS)
}
