package bindings

import "path/filepath"

// LibraryVersion is the version of the libraries that belong to these bindings.
const LibraryVersion = libraryVersion

// EnvLibrary names the environment variable with the path of the library to load.
const EnvLibrary = envLibrary

// Probe finds what [Load] would take for o, and does not make it the process's library. So a later Load may still choose another one, and
// Probe finds libraries that were put in place after the last call. Files that it opened stay mapped.
func Probe(o Options) (*Library, error) {
	files, err := Find(o)
	if err != nil {
		return nil, err
	}
	lib, attempts := try(files, o.Variant)
	if lib == nil {
		return nil, &LoadError{Variant: o.Variant, Attempts: attempts}
	}
	return lib, nil
}

// UserFolder is the folder of libraries of this version that a user can write to: daguerre/lib/<version> in the user's data folder. [Find]
// lists it.
func UserFolder() (string, error) {
	dir, err := hostPlaces().dataDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "daguerre", "lib", libraryVersion), nil
}

// OpenSystem reports whether the dynamic linker finds a library of the system, such as libvulkan.so.1, and can open it. Nothing of it is
// called. It is closed again.
func OpenSystem(name string) error {
	handle, err := dlopen(name)
	if err != nil {
		return err
	}
	return dlclose(handle)
}
