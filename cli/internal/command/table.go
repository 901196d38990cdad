package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/daguerre-go/daguerre/internal/words"
)

// page is what a command prints in the end.
type page struct{ strings.Builder }

// line adds a line.
func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// table adds rows in columns; an empty row is an empty line.
func (p *page) table(rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = words.OneLine(cell)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // into memory
	for line := range strings.Lines(b.String()) {
		p.line("%s", strings.TrimRight(line, " \n"))
	}
}

// print prints the page.
func (p *page) print(env Env) error { return printTo(env.Stdout, "%s", p.String()) }

// word is one of two words.
func word(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}

// printList prints v as JSON, or the rows.
func printList(env Env, asJSON bool, v any, rows [][]string) error {
	if asJSON {
		return printJSON(env.Stdout, v)
	}
	return printTable(env, rows)
}

// printJSON prints v indented.
func printJSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return printData(w, append(data, '\n'))
}

// printTable prints rows in columns.
func printTable(env Env, rows [][]string) error {
	var p page
	p.table(rows)
	return p.print(env)
}
