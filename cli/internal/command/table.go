package command

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/words"
)

// page is what a command prints in the end. It is laid out for the width of the terminal when it is printed.
type page struct{ parts []part }

// part is a text, or a table if it has rows.
type part struct {
	text string
	rows [][]string
	columns
}

// columns says how a table of figures may be parted: the first keys columns are in every part, and the columns named begin a new one.
type columns struct {
	keys   int
	breaks []string
}

// line adds a line of text, or several.
func (p *page) line(format string, args ...any) { p.write(fmt.Sprintf(format, args...) + "\n") }

// write adds text.
func (p *page) write(text string) { p.parts = append(p.parts, part{text: text}) }

// table adds rows in columns; an empty row is an empty line.
func (p *page) table(rows [][]string) { p.parts = append(p.parts, part{rows: rows}) }

// figures adds a table of short cells under names. Its first columns, keys of them, say what a row is about. Where not all columns fit,
// several tables stand below each other, each with the keys. A new one begins at each name of breaks.
func (p *page) figures(rows [][]string, keys int, breaks ...string) {
	p.parts = append(p.parts, part{rows: rows, columns: columns{keys, breaks}})
}

// layout lays the page out in lines of at most width characters; 0: as long as they are.
func (p *page) layout(width int) string {
	var b strings.Builder
	for _, part := range p.parts {
		if part.rows != nil {
			b.WriteString(tableText(part.rows, width, part.columns))
			continue
		}
		for line := range strings.Lines(part.text) {
			b.WriteString(fold(line, width))
		}
	}
	return b.String()
}

// print prints the page.
func (p *page) print(env Env) error { return printTo(env.Stdout, "%s", p.layout(env.width())) }

// hang is how far the second line of a long one is indented, beside its own indent.
const hang = 2

// fold breaks a line of text that is longer than width. What stands in columns stays: the following lines begin where the last column does.
func fold(line string, width int) string {
	text := strings.TrimRight(line, "\n")
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return line
	}
	body := strings.TrimLeft(text, " ")
	head := strings.Repeat(" ", min(len(text)-len(body), width/4))
	rest := strings.Repeat(" ", min(len(head)+hang, width/4))
	if i := strings.LastIndex(body, "  "); i > 0 && len(head)+i+2 < width/2 {
		head += body[:i+2]
		body = body[i+2:]
		rest = strings.Repeat(" ", utf8.RuneCountInString(head))
	}
	var b strings.Builder
	for i, part := range words.Wrap(body, width-max(utf8.RuneCountInString(head), len(rest))) {
		b.WriteString(word(i == 0, head, rest) + part + "\n")
	}
	return b.String()
}

const columnGap = 2

// tableText writes rows in columns. Where they do not fit, a table of figures is parted; the long cells of others are broken at their
// spaces. Where that is not enough, each row becomes a list of its cells.
func tableText(rows [][]string, width int, by columns) string {
	clean := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			clean[i] = append(clean[i], words.OneLine(cell))
		}
	}
	var b strings.Builder
	for _, block := range blocksOf(clean) {
		if len(block[0]) == 0 {
			b.WriteString("\n")
			continue
		}
		for i, band := range by.bands(block, width) {
			b.WriteString(word(i > 0, "\n", ""))
			widths, ok := fit(band, width)
			if !ok {
				b.WriteString(asLists(band, width))
				continue
			}
			for _, row := range band {
				b.WriteString(rowText(row, widths, width))
			}
		}
	}
	return b.String()
}

// bands parts a table of figures that does not fit. A short row, which has a remark instead of figures, is in the first part only.
func (c columns) bands(rows [][]string, width int) (out [][][]string) {
	widths, _ := fit(rows, 0)
	together := func(from, to int) int {
		n := -columnGap
		for i, w := range widths {
			if i < c.keys || i >= from && i < to {
				n += w + columnGap
			}
		}
		return n
	}
	if c.keys == 0 || width <= 0 || together(c.keys, len(widths)) <= width {
		return [][][]string{rows}
	}
	for from := c.keys; from < len(widths); {
		to := from + 1
		for to < len(widths) && !slices.Contains(c.breaks, rows[0][to]) && together(from, to+1) <= width {
			to++
		}
		var band [][]string
		for _, row := range rows {
			switch {
			case len(row) == len(widths):
				band = append(band, slices.Concat(row[:c.keys], row[from:to]))
			case from == c.keys:
				band = append(band, row)
			}
		}
		out, from = append(out, band), to
	}
	return out
}

// blocksOf parts rows where an empty row is. The columns of one block do not depend on another's.
func blocksOf(rows [][]string) (blocks [][][]string) {
	for i, row := range rows {
		if i == 0 || len(row) == 0 || len(rows[i-1]) == 0 {
			blocks = append(blocks, nil)
		}
		blocks[len(blocks)-1] = append(blocks[len(blocks)-1], row)
	}
	return blocks
}

// columnsOf is how many cells the longest row has.
func columnsOf(rows [][]string) (n int) {
	for _, row := range rows {
		n = max(n, len(row))
	}
	return n
}

// fit chooses the widths of columns. ok is false if the words do not fit.
func fit(rows [][]string, width int) (widths []int, ok bool) {
	widths = make([]int, columnsOf(rows))
	least := make([]int, len(widths))
	for _, row := range rows {
		for i, cell := range row {
			if isRemark(row, i, len(widths)) {
				continue
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			for w := range strings.FieldsSeq(cell) {
				least[i] = max(least[i], utf8.RuneCountInString(w))
			}
		}
	}
	sum := func(list []int) int {
		n := columnGap * max(len(list)-1, 0)
		for _, w := range list {
			n += w
		}
		return n
	}
	if width <= 0 || sum(widths) <= width {
		return widths, true
	}
	const narrow = 8
	for i := range least {
		least[i] = min(max(least[i], narrow), widths[i])
	}
	if sum(least) > width {
		return nil, false
	}
	for sum(widths) > width {
		widest := -1
		for i, w := range widths {
			if w > least[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		widths[widest]--
	}
	return widths, true
}

// isRemark reports whether a cell is the last of a short row. It may go beyond its column.
func isRemark(row []string, i, columns int) bool {
	return i > 0 && i == len(row)-1 && len(row) < columns
}

// rowText writes one row, on several lines where a cell needs them.
func rowText(row []string, widths []int, width int) string {
	cells := make([][]string, len(row))
	height, left := 1, 0
	for i, cell := range row {
		room := widths[i]
		if isRemark(row, i, len(widths)) {
			room = width - left
		}
		cells[i] = []string{cell}
		if room > 0 && utf8.RuneCountInString(cell) > room {
			cells[i] = words.Wrap(cell, room)
		}
		height = max(height, len(cells[i]))
		left += widths[i] + columnGap
	}
	var b strings.Builder
	for y := range height {
		line := ""
		for i, cell := range cells {
			text := ""
			if y < len(cell) {
				text = cell[y]
			}
			line += text + strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(text), 0)+columnGap)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// asLists writes each row as a list: its first cell, and the others below, each behind its column's name. A table whose first row names no
// columns has lists without names.
func asLists(rows [][]string, width int) string {
	var b strings.Builder
	names := rows[0]
	titled := len(names) > 1 && !slices.ContainsFunc(names, func(s string) bool { return s != strings.ToUpper(s) })
	if titled {
		rows = rows[1:]
	}
	for _, row := range rows {
		for i, cell := range row {
			switch {
			case i == 0:
				b.WriteString(fold(cell+"\n", width))
			case cell == "":
			case titled && i < len(names) && names[i] != "":
				b.WriteString(fold("  "+strings.ToLower(names[i])+": "+cell+"\n", width))
			default:
				b.WriteString(fold("  "+cell+"\n", width))
			}
		}
	}
	return b.String()
}

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
