// Command house measures the house and holds it to what docs/architecture.md says: exported names, the drawing of packages, long files and
// lines. Without a flag it prints all of it; `make house` runs the checks.
//
//	go run ./tools/house                               # exported names, drawing, long files and lines, lines of code
//	go run ./tools/house -max 700                      # fails where more names are exported outside internal/
//	go run ./tools/house -check docs/architecture.md   # fails where drawing and imports differ, and lists how
//	go run ./tools/house -write docs/architecture.md   # draws anew between the marker comments
//	go run ./tools/house -long 400 [FILE...]           # fails where a file of code has more lines, but for these
//	go run ./tools/house -since REV                    # lines of code now and at REV
package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func main() {
	most := flag.Int("max", 0, "fail where more names than this are exported outside internal/")
	check := flag.String("check", "", "fail where the drawing in this `file` is not of the imports as they are")
	write := flag.String("write", "", "draw the packages in this `file`")
	long := flag.Int("long", 0, "fail where a file has more lines than this, or a line more columns than 140")
	since := flag.String("since", "", "print lines of code now and at this `revision`")
	flag.Parse()
	tool.Exit("house", run(*most, *check, *write, *since, *long))
}

func run(most int, check, write, since string, long int) error {
	packages, err := list()
	if err != nil {
		return err
	}
	all := flag.NFlag() == 0
	var errs []error
	if all || most > 0 {
		errs = append(errs, exported(packages, all, most))
	}
	if write != "" {
		errs = append(errs, tool.WritePart(write, marker, draw(packages)))
	}
	if check != "" {
		errs = append(errs, checkDrawing(check, packages))
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
