//go:build !windows

package identity

import "os"

func ofPath(path string) (ID, error) {
	st, err := os.Stat(path)
	if err != nil {
		return ID{}, err
	}
	return of(st), nil
}

func ofFile(f *os.File) (ID, error) {
	st, err := f.Stat()
	if err != nil {
		return ID{}, err
	}
	return of(st), nil
}
