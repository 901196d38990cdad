//go:build !windows

package bindings

import (
	"runtime"

	"github.com/ebitengine/purego"
)

// openFailed begins the outcome of a file that the system does not load.
const openFailed = "dlopen failed"

// dlopen opens a shared library with all its symbols bound and none of them given to others, so that
// it can live beside another copy of ggml. The thread is held because dlerror is per thread.
func dlopen(path string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func dlsym(handle uintptr, name string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlsym(handle, name)
}

func dlclose(handle uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlclose(handle)
}
