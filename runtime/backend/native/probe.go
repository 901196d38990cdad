package native

import "github.com/daguerre-go/daguerre/bindings"

// LibraryVersion is the version of the libraries that belong to this package.
const LibraryVersion = bindings.LibraryVersion

// EnvLibrary names the environment variable with the path of the library to load.
const EnvLibrary = bindings.EnvLibrary

// Probe tells which library [New] would take, without taking it: the process may still load another one. If none works, the error holds a
// [*LoadError].
func Probe(o Options) (Library, error) {
	lib, err := bindings.Probe(bindings.Options{Path: o.LibraryPath, Variant: o.Variant})
	if err != nil {
		return Library{}, wrapped("looking for libdaguerre", err)
	}
	return describe(lib), nil
}

// Variants lists what a library can be compiled for, best first.
func Variants() []string { return append([]string(nil), bindings.Variants...) }

// UserFolder is the folder of libraries of this version that a user can write to. [New] looks there.
func UserFolder() (string, error) { return bindings.UserFolder() }

// OpenSystem reports whether a library of the system, such as libvulkan.so.1, is there and can be opened.
func OpenSystem(name string) error { return bindings.OpenSystem(name) }
