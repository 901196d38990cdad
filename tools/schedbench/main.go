// Command schedbench measures every scheduler on the embedded nano model and writes the database that
// `daguerre schedulers show` and `recommend` read. It needs libdaguerre (make).
//
//	go run ./tools/schedbench -out FOLDER              # measures, one file per scheduler; about 12 minutes of one core
//	go run ./tools/schedbench -out FOLDER -part 0/2    # half of them, so that two processes can share the work
//	go run ./tools/schedbench -out FOLDER -merge       # writes runtime/scheduler/characteristics.json
//	go run ./tools/schedbench -docs                    # writes the table of docs/schedulers.md
//
// Files that are there already are not measured again; remove the folder after a change of the model.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

const (
	databaseFile = "runtime/scheduler/characteristics.json"
	docsFile     = "docs/schedulers.md"
)

// subject is one scheduler with the options it is measured with, over the model's.
type subject struct {
	name    string
	label   string
	options scheduler.Config
	needs   scheduler.Needs
}

// variants are options that people use so often that they are measured too.
var variants = []subject{
	{name: "EulerDiscreteScheduler", label: "trailing", options: scheduler.Config{TimestepSpacing: "trailing"}},
	{name: "DPMSolverMultistepScheduler", label: "Karras", options: scheduler.Config{UseKarrasSigmas: new(true)}},
	{name: "DPMSolverMultistepScheduler", label: "SDE Karras",
		options: scheduler.Config{UseKarrasSigmas: new(true), AlgorithmType: "sde-dpmsolver++"}},
}

// subjects lists all that is measured: every registered scheduler, each followed by its variants.
func subjects() []subject {
	var out []subject
	for _, name := range scheduler.Names() {
		short := strings.TrimSuffix(name, "Scheduler")
		info, _ := scheduler.Describe(name) // of Names: no error
		out = append(out, subject{name: name, label: short, needs: info.Needs})
		for _, v := range variants {
			if v.name == name {
				v.label = short + " " + v.label
				out = append(out, v)
			}
		}
	}
	return out
}

func main() {
	out := flag.String("out", "", "folder of the results, one file per scheduler")
	part := flag.String("part", "0/1", "K/N: measure only every N-th scheduler, beginning with the K-th")
	merge := flag.Bool("merge", false, "merge the results into "+databaseFile)
	docs := flag.Bool("docs", false, "write the table of "+docsFile)
	flag.Parse()
	tool.Exit("schedbench", run(*out, *part, *merge, *docs))
}

func run(out, part string, merge, docs bool) error {
	switch {
	case docs:
		return tool.WritePart(docsFile, "measured", scheduler.Measured().Markdown())
	case out == "":
		return errors.New("-out is missing; give a folder")
	case merge:
		return mergeResults(out)
	}
	var k, n int
	if _, err := fmt.Sscanf(part, "%d/%d", &k, &n); err != nil || n < 1 || k < 0 || k >= n {
		return fmt.Errorf("-part is %q; expected K/N with 0 <= K < N", part)
	}
	return measureAll(context.Background(), out, k, n)
}

// resultFile is where a subject's figures are kept until they are merged.
func resultFile(dir, label string) string {
	return filepath.Join(dir, strings.ReplaceAll(label, " ", "-")+".json")
}

// mergeResults puts the results together. All must be there, and of the model that is embedded now.
func mergeResults(dir string) error {
	var d scheduler.Database
	for i, s := range subjects() {
		var r result
		if err := tool.ReadJSON(resultFile(dir, s.label), &r); err != nil {
			return err
		}
		if r.Run.ModelSHA256 != nano.BaseSHA256() {
			return fmt.Errorf("%s was measured on model %s, not on %s: remove it and measure again", s.label, r.Run.ModelSHA256, nano.BaseSHA256())
		}
		if i == 0 {
			d = r.Run
		}
		d.Entries = append(d.Entries, r.Entry)
	}
	return tool.WriteJSON(databaseFile, d)
}
