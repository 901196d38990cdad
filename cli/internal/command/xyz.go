package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/table"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// tableRun is a run that is a table: its cells, and what was made of them.
type tableRun struct {
	table.Spec
	cells  []table.Cell
	groups []tableGroup
	seed   *int64            // of all cells, if none is asked for; nil: it was not drawn yet
	paths  map[[2]int]string // of pictures, by the number of their cell and their index in it
	seeds  map[int]int64     // of cells
	ended  []*output.Journal // of groups that are complete, to be removed when the table is
}

// tableGroup are the cells of one model.
type tableGroup struct {
	run   request.Run
	cells []int // their numbers
}

// Where a table's files are, unless they are named.
const (
	tableOutput = "table/{job:3}.png"
	tableGrid   = "grid.png"
	tableCSV    = "table.csv"
)

// takesTable has a run file's [table] put aside, which package request does not know.
func takesTable(d request.Defaults, to *any) request.Defaults {
	d.Take = func(key string, value any) bool {
		if !strings.EqualFold(key, "table") {
			return false
		}
		*to = value
		return true
	}
	return d
}

// expandTable makes the cells of a table, if flags or the run file ask for one.
func (o *generateOptions) expandTable(c *cli.Context, file any, errs *request.Errors) {
	t := &tableRun{paths: map[[2]int]string{}, seeds: map[int]int64{}}
	if file != nil {
		var err error
		var found request.Errors
		if t.Spec, err = table.FromFile(file); errors.As(err, &found) {
			*errs = append(*errs, found...)
		}
	}
	at := map[string]string{}
	for i, name := range table.Names {
		at[name] = "table." + name
		if !c.IsSet(name) {
			continue
		}
		at[name] = "--" + name
		axis, err := table.ParseAxis(name, c.String(name))
		if err != nil {
			errs.Add("--"+name, "%s", err.Error())
		}
		t.Axes[i] = axis
	}
	for flag, to := range map[string]*string{"grid": &t.Grid, "csv": &t.CSV} {
		if c.IsSet(flag) {
			*to = c.String(flag)
		}
	}
	if _, err := imagefile.FormatOf(t.Grid); t.Grid != "" && err != nil {
		errs.Add("--grid", "%v", err)
	}
	if !slices.ContainsFunc(t.Axes[:], func(a table.Axis) bool { return a.Key != "" }) {
		for _, flag := range []string{"grid", "csv"} {
			if c.IsSet(flag) {
				errs.Add("--"+flag, "is for tables; name an axis with --x, such as --x seed=1,2,3")
			}
		}
		if file != nil && len(*errs) == 0 {
			errs.Add("table", "has no axis; write x = {key = \"seed\", values = [1, 2, 3]}")
		}
		return
	}
	if len(*errs) > 0 || len(o.run.Jobs) == 0 {
		return
	}
	if o.run.Jobs[0].Output == "" {
		o.run.Jobs[0].Output = tableOutput
	}
	for i, a := range t.Axes {
		if k := slices.IndexFunc(settings, func(s setting) bool { return s.key == a.Key && s.positive }); k >= 0 {
			for n := range a.Values {
				if a.Label(n) == "0" {
					errs.Add(at[table.Names[i]], "%s: the value 0 is the default's; give more, or leave it out", a.Key)
				}
			}
		}
	}
	cells, err := t.Expand(o.run, func(axis string) string { return at[axis] })
	var found request.Errors
	if errors.As(err, &found) {
		*errs = append(*errs, found...)
		return
	}
	for i, a := range t.Axes {
		if a.Key != "" {
			o.run.Typed(a.Key, at[table.Names[i]]+" "+a.Key)
		}
	}
	t.cells = cells
	t.group(o.run)
	o.table, o.run.Jobs, o.run.Model = t, nil, cells[0].Model
	for _, cell := range cells {
		o.run.Jobs = append(o.run.Jobs, cell.Job)
	}
}

// jobField is the placeholder of a job's number.
var jobField = regexp.MustCompile(`\{job(?::(\d+))?\}`)

// group puts the cells of equal models together, and gives each cell's pictures the cell's number.
func (t *tableRun) group(run request.Run) {
	for i := range t.cells {
		cell := &t.cells[i]
		if cell.Job.Output = service.OutputOf(cell.Job); !jobField.MatchString(cell.Job.Output) && len(t.cells) > 1 {
			ext := filepath.Ext(cell.Job.Output)
			cell.Job.Output = strings.TrimSuffix(cell.Job.Output, ext) + "-{job:3}" + ext
		}
		number := func(field string) string {
			digits, _ := strconv.Atoi(jobField.FindStringSubmatch(field)[1]) // none: 0
			return fmt.Sprintf("%0*d", digits, i)
		}
		cell.Job.Output = jobField.ReplaceAllStringFunc(cell.Job.Output, number)
		cell.Job.SaveLatents = jobField.ReplaceAllStringFunc(cell.Job.SaveLatents, number)
		k := slices.IndexFunc(t.groups, func(g tableGroup) bool { return reflect.DeepEqual(g.run.Model, cell.Model) })
		if k < 0 {
			k = len(t.groups)
			of := run
			of.Model, of.Jobs = cell.Model, nil
			t.groups = append(t.groups, tableGroup{run: of})
		}
		g := &t.groups[k]
		g.run.Jobs, g.cells = append(g.run.Jobs, cell.Job), append(g.cells, i)
	}
}

// generateTable makes the cells, group by group, then the grid and the CSV. Pictures of a run that was killed are not made again.
func (o generateOptions) generateTable(ctx context.Context, env Env, r progress.Reporter) error {
	t := o.table
	for i := range t.groups { // so that nothing is computed if a later model is missing
		sub := o
		sub.run, sub.group = t.groups[i].run, &t.groups[i]
		if err := sub.locate(ctx, env, progress.Discard{}); err != nil {
			return err
		}
		if err := sub.checkInputs(); err != nil {
			return err
		}
	}
	var done progress.Done
	for i := range t.groups {
		sub := o
		sub.run, sub.group = t.groups[i].run, &t.groups[i]
		if len(t.groups) > 1 {
			r.Report(progress.Note{Message: fmt.Sprintf("model %d of %d of the table: %d cells", i+1, len(t.groups), len(sub.group.cells))})
		}
		d, err := sub.generateRun(ctx, env, r)
		if err != nil {
			t.letGo()
			return err
		}
		done = d
	}
	if err := t.write(o, env, r); err != nil {
		t.letGo()
		return err
	}
	for _, j := range t.ended {
		if err := j.Remove(); err != nil {
			return err
		}
	}
	r.Report(done)
	return nil
}

// letGo closes the journals of a table that is not complete.
func (t *tableRun) letGo() {
	for _, j := range t.ended {
		_ = j.Close()
	}
	t.ended = nil
}

// one gives all cells that ask for a random seed the same one: otherwise they could not be compared.
func (t *tableRun) one(asked, drawn int64) int64 {
	switch {
	case asked >= 0:
		return asked
	case t.seed == nil:
		t.seed = &drawn
	}
	return *t.seed
}

// made remembers the pictures of a group of cells, those of an earlier run too.
func (t *tableRun) made(s *session) {
	for i, cell := range s.group.cells {
		t.seeds[cell] = s.seeds[i]
		if t.seed == nil && t.cells[cell].Job.Seed < 0 {
			t.seed = &s.seeds[i]
		}
		for k := range t.images(cell) {
			path := s.made[[2]int{i, k}]
			if path == "" && s.journal != nil {
				path = s.earlier(i, k)
			}
			t.paths[[2]int{cell, k}] = path
		}
	}
	if s.journal != nil {
		t.ended = append(t.ended, s.journal)
		s.journal = nil
	}
}

// place is the name of a file of the table: as it was asked for, or in the folder of the first cell's pictures.
func (t *tableRun) place(env Env, asked, otherwise string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	first := t.cells[0]
	dir, err := service.Names{Model: first.Model, Now: env.Now}.Folder(0, first.Job)
	return filepath.Join(dir, otherwise), err
}

// planTable plans the cells of each model.
func (o generateOptions) planTable(ctx context.Context, env Env) error {
	for i := range o.table.groups {
		sub := o
		sub.found, sub.run, sub.group = nil, o.table.groups[i].run, &o.table.groups[i]
		if err := sub.plan(ctx, env); err != nil {
			return err
		}
	}
	return nil
}
