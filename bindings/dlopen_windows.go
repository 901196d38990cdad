package bindings

import "errors"

// libdaguerre is built for systems with dlopen. On Windows this package compiles, so that programs
// which use another backend do too, and every attempt to load says why it cannot work.
var errNoWindows = errors.New("libdaguerre is not built for Windows; use WSL, or another backend")

func dlopen(string) (uintptr, error)         { return 0, errNoWindows }
func dlsym(uintptr, string) (uintptr, error) { return 0, errNoWindows }
func dlclose(uintptr) error                  { return errNoWindows }
