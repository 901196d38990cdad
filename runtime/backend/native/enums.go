package native

import (
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
)

// number is a name's number in one of the ABI's enums. No name is the first of them: the zero value of a configuration means auto. The
// name was checked before.
func number[T ~string](names []string, name T) int32 {
	return int32(max(slices.Index(names, string(name)), 0))
}

// checked is number for a name that nothing checked.
func checked[T ~string](op, field string, names []string, name T) (int32, error) {
	if err := contract.OneOf(field, string(name), names); err != nil {
		return 0, refused(op, err)
	}
	return number(names, name), nil
}

// named is the name of a number. A number outside the ABI's enum is shown, not hidden.
func named[T ~string](names []string, value int32) T {
	if value < 0 || int(value) >= len(names) {
		return T(fmt.Sprintf("unknown (%d)", value))
	}
	return T(names[value])
}

// bits is a set of components as the ABI has it; no name is the empty set.
func bits(components []string) (set int32) {
	for i, name := range bindings.Components {
		if slices.Contains(components, name) {
			set |= 1 << i
		}
	}
	return set
}
