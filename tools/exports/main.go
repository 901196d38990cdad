// Command exports fails unless each symbol that a built library exports is one that the C header declares. A symbol that leaked would bind
// to, or be bound by, another copy of ggml in the process. It reads the libraries of Linux, Windows and macOS on any of them.
//
//	go run ./tools/exports -header native/include/daguerre.h [-complete] LIBRARY
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	header := flag.String("header", "native/include/daguerre.h", "the header that declares the functions")
	complete := flag.Bool("complete", false, "fail also where a declared function is missing")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*header, flag.Arg(0), *complete); err != nil {
		fmt.Fprintln(os.Stderr, "exports:", err)
		os.Exit(1)
	}
}

func run(header, library string, complete bool) error {
	text, err := os.ReadFile(header)
	if err != nil {
		return err
	}
	declared := declarations(string(text))
	exported, err := exports(library)
	if err != nil {
		return err
	}
	foreign := slices.DeleteFunc(slices.Clone(exported), func(s string) bool { return slices.Contains(declared, s) })
	if len(foreign) > 0 {
		return fmt.Errorf("%s exports what %s does not declare: %s", library, header, strings.Join(foreign, ", "))
	}
	if len(exported) == 0 {
		return fmt.Errorf("%s exports nothing", library)
	}
	lacking := slices.DeleteFunc(slices.Clone(declared), func(s string) bool { return slices.Contains(exported, s) })
	if complete && len(lacking) > 0 {
		return fmt.Errorf("%s lacks what %s declares: %s", library, header, strings.Join(lacking, ", "))
	}
	return nil
}

var (
	comment     = regexp.MustCompile(`(?s)/\*.*?\*/`)
	directive   = regexp.MustCompile(`(?m)^#.*$`)
	declaration = regexp.MustCompile(`DG_API[^;(]*?\b(dg_[a-z_0-9]+)\s*\(`)
)

// declarations returns the functions that a header declares with DG_API.
func declarations(header string) []string {
	header = directive.ReplaceAllString(comment.ReplaceAllString(header, ""), "")
	var names []string
	for _, m := range declaration.FindAllStringSubmatch(header, -1) {
		names = append(names, m[1])
	}
	return names
}

// exports returns the names that a library gives to others.
func exports(path string) ([]string, error) {
	var errs []error
	for _, read := range []func(string) ([]string, error){elfExports, peExports, machoExports} {
		names, err := read(path)
		if err == nil {
			return names, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("%s: neither ELF, PE nor Mach-O: %w", path, errors.Join(errs...))
}
