package bindings

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// openFailed begins the outcome of a file that the system does not load.
const openFailed = "LoadLibraryEx failed"

// dlopen loads a DLL. What it needs is looked for in its own folder and in the system's, never in the working folder or on the PATH. The
// path must be absolute.
func dlopen(path string) (uintptr, error) {
	handle, err := windows.LoadLibraryEx(filepath.Clean(path), 0,
		windows.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR|windows.LOAD_LIBRARY_SEARCH_DEFAULT_DIRS)
	switch {
	case errors.Is(err, windows.ERROR_MOD_NOT_FOUND):
		return 0, fmt.Errorf("%w (a DLL that it needs is missing)", err)
	case errors.Is(err, windows.ERROR_BAD_EXE_FORMAT):
		return 0, fmt.Errorf("%w (it is no DLL for this processor)", err)
	}
	return uintptr(handle), err
}

func dlsym(handle uintptr, name string) (uintptr, error) {
	return windows.GetProcAddress(windows.Handle(handle), name)
}

func dlclose(handle uintptr) error { return windows.FreeLibrary(windows.Handle(handle)) }
