package bindings

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// table holds one variable for every function of daguerre.h, grouped by the file that uses them.
type table struct {
	bootFuncs
	logFuncs
	deviceFuncs
	modelFuncs
	computeFuncs
	networkFuncs
	memoryFuncs
	quantizeFuncs
	profileFuncs
	loraFuncs
	vaePartFuncs
	residencyFuncs
}

// symbol ties a C name to the Go function variable that calls it.
type symbol struct {
	name string
	fptr any // *func(...) ...
}

// symbols lists every binding, those that are needed to judge a library first.
func (t *table) symbols() []symbol {
	var all []symbol
	for _, group := range [][]symbol{
		t.bootFuncs.symbols(), t.logFuncs.symbols(), t.deviceFuncs.symbols(),
		t.modelFuncs.symbols(), t.computeFuncs.symbols(), t.networkFuncs.symbols(), t.memoryFuncs.symbols(),
		t.quantizeFuncs.symbols(), t.profileFuncs.symbols(), t.loraFuncs.symbols(), t.vaePartFuncs.symbols(),
		t.residencyFuncs.symbols(),
	} {
		all = append(all, group...)
	}
	return all
}

// bind looks every symbol up before it is registered, so that a missing one is an error that names
// it and the library, where purego's own helper would panic.
func bind(handle uintptr, path string, symbols []symbol) error {
	for _, s := range symbols {
		address, err := dlsym(handle, s.name)
		if err != nil {
			return &SymbolError{Symbol: s.name, Library: path, Err: err}
		}
		if address == 0 {
			return &SymbolError{Symbol: s.name, Library: path}
		}
		purego.RegisterFunc(s.fptr, address)
	}
	return nil
}

// SymbolError is a function that a library should export and does not.
type SymbolError struct {
	Symbol  string // the C name
	Library string // path of the library
	Err     error  // what the dynamic linker said; may be nil
}

// Error names the symbol, the library and the remedy.
func (e *SymbolError) Error() string {
	return fmt.Sprintf("%s has no symbol %s: it is not libdaguerre, or of another version; rebuild it with `make`",
		e.Library, e.Symbol)
}

// Unwrap returns the dynamic linker's error.
func (e *SymbolError) Unwrap() error { return e.Err }
