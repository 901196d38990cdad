package bindings

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// outcomeNotFound is the Outcome of a file that is not there.
const outcomeNotFound = "not found"

// Attempt is one file that was tried and what came of it.
type Attempt struct {
	candidate
	Outcome string `json:"outcome"` // in words: "loaded", "not found", "dlopen failed: ..."
	OK      bool   `json:"ok"`      // this one is in use
}

// String returns the attempt as one line.
func (a Attempt) String() string {
	return fmt.Sprintf("%s (%s): %s", a.Path, a.Source, a.Outcome)
}

// ErrNoLibrary is what errors.Is finds in a [LoadError].
var ErrNoLibrary = errors.New("no usable libdaguerre")

// LoadError says that no library works here, with every attempt.
type LoadError struct {
	Variant  string // the variant that was asked for, or ""
	Attempts []Attempt
}

// Error lists what was tried, a line for each file that is there and for each folder that holds none, and the remedies.
func (e *LoadError) Error() string {
	var b strings.Builder
	b.WriteString(ErrNoLibrary.Error())
	target, variant := "make", "cpu"
	if e.Variant != "" {
		fmt.Fprintf(&b, " of variant %s", e.Variant)
		variant = e.Variant
	}
	if variant != "cpu" {
		target = "make " + variant
	}
	b.WriteString("; tried:")
	inFolder, told := map[string]int{}, map[string]bool{}
	for _, a := range e.Attempts {
		inFolder[filepath.Dir(a.Path)]++
	}
	for _, a := range e.Attempts {
		dir := filepath.Dir(a.Path)
		switch {
		case a.Outcome != outcomeNotFound || inFolder[dir] == 1:
			b.WriteString("\n  " + a.String())
		case !told[dir]:
			told[dir] = true
			fmt.Fprintf(&b, "\n  %s (%s): no %s", dir, a.Source, strings.Replace(fileName("*"), "*", "{"+strings.Join(Variants, ",")+"}", 1))
		}
	}
	if len(e.Attempts) > 0 && e.Attempts[0].Source == sourceEnv {
		b.WriteString("\nNothing else was tried, because " + envLibrary + " is set.")
	}
	b.WriteString("\nAny of these helps:")
	fetch := "daguerre install"
	if e.Variant != "" {
		fetch += " --variant " + e.Variant
	}
	fmt.Fprintf(&b, "\n  install it: `%s`, or install.Ensure in a Go program, or `make install` in the source tree; or put %s into %s",
		fetch, fileName(variant), userFolder())
	fmt.Fprintf(&b, "\n  name it: set %s, or Library of pipeline.Config, to the file or its folder", envLibrary)
	fmt.Fprintf(&b, "\n  build it: `%s` in the source tree", target)
	return b.String()
}

// userFolder names the folder of libraries that a user can write to.
func userFolder() string {
	dir, err := UserFolder()
	if err != nil {
		return filepath.Join("the user's data folder", "daguerre", "lib", libraryVersion)
	}
	return dir
}

// Is reports whether target is [ErrNoLibrary].
func (e *LoadError) Is(target error) bool { return target == ErrNoLibrary }
