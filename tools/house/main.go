// Command house measures the house and holds it to what docs/architecture.md says: exported names, the drawing of packages, long files and
// lines. Without a flag it prints all of it; `make house` runs the checks.
//
//	go run ./tools/house                               # exported names, drawing, long files and lines, lines of code
//	go run ./tools/house -max 700                      # fails where more names are exported outside internal/
//	go run ./tools/house -check                        # fails where the imports are not those of the drawing or the linter's rules
//	go run ./tools/house -write                        # writes drawing and rules anew, between the marker comments
//	go run ./tools/house -long 400 [FILE...]           # fails where a file of code has more lines, but for these
//	go run ./tools/house -since REV                    # lines of code now and at REV
//	go run ./tools/house -touch scheduler=main..a-scheduler component=c.patch
//
// The last tells how many files each change touches, and whether that is as few as promised for its kind. A change is a range of git
// commits or a patch file. Tests, what they read and documentation are listed, but do not count.
package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// Files that say who imports whom, from the root of the checkout.
const (
	drawingFile = "docs/architecture.md"
	rulesFile   = ".golangci.yml"
)

func main() {
	most := flag.Int("max", 0, "fail where more names than this are exported outside internal/")
	checks := flag.Bool("check", false, "fail where the imports are not those of "+drawingFile+" and "+rulesFile)
	write := flag.Bool("write", false, "draw the packages in "+drawingFile+" and list their imports in "+rulesFile)
	long := flag.Int("long", 0, "fail where a file has more lines than this, or a line more columns than 140")
	since := flag.String("since", "", "print lines of code now and at this `revision`")
	touches := flag.Bool("touch", false, "count the files of changes: scheduler, preprocessor, algorithm or component, = and a range or patch")
	flag.Parse()
	if *touches {
		var errs []error
		for _, arg := range flag.Args() {
			errs = append(errs, touch(arg))
		}
		tool.Exit("house", errors.Join(errs...))
	}
	tool.Exit("house", run(*most, *long, *checks, *write, *since))
}

func run(most, long int, checks, write bool, since string) error {
	packages, err := list()
	if err != nil {
		return err
	}
	all := flag.NFlag() == 0
	var errs []error
	if all || most > 0 {
		errs = append(errs, exported(packages, all, most))
	}
	if write {
		errs = append(errs, tool.WritePart(drawingFile, marker, draw(packages)), tool.WritePart(rulesFile, rulesMarker, rulesOf(packages)))
	}
	if checks {
		errs = append(errs, check(drawingFile, marker, draw(packages)), check(rulesFile, rulesMarker, rulesOf(packages)))
	}
	if all {
		fmt.Print("\n", draw(packages), "\n")
	}
	if all || long > 0 {
		errs = append(errs, longFiles(long, flag.Args()))
	}
	if all || since != "" {
		errs = append(errs, size(since))
	}
	return errors.Join(errs...)
}
