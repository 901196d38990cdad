package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
)

// checkRunPath refuses a library for Linux that looks for others in a folder of the machine that built it: no two machines would make the
// same bytes, and elsewhere another library could lie there.
func checkRunPath(path string) error {
	if filepath.Ext(path) != ".so" {
		return nil
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, err := f.DynString(tag)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(paths) > 0 {
			return errors.New(path + " looks for libraries in " + paths[0] + "; CMAKE_SKIP_RPATH leaves that out")
		}
	}
	return nil
}
