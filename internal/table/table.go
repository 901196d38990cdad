// Package table turns a run of one job into a table of pictures: up to three axes, each with a key of a run file and its values. A cell is
// the job with a value of each axis. Nothing is computed here.
package table

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// MaxCells is how many cells a table has at most.
const MaxCells = 10_000

// Names are the axes: columns, rows, and sheets one below the other.
var Names = []string{"x", "y", "z"}

// Replace is the key of an axis that searches the prompts for its first value, and puts each of its values in its place.
const Replace = "replace"

// Axis is a key with its values.
type Axis struct {
	Name   string // of Names
	Key    string // as it was written
	Values []any  // texts, numbers and booleans of TOML or JSON
}

// Label is a value as people read it.
func (a Axis) Label(i int) string {
	if s, ok := a.Values[i].(string); ok {
		return s
	}
	return fmt.Sprint(a.Values[i])
}

// ParseAxis reads an axis as a flag has it: KEY=V1,V2. Values with commas are in double quotes, as in CSV. A value such as 1-5, 1-9 (+2) or
// 1-9 [3] is a range: its step, or how many values it has.
func ParseAxis(name, text string) (Axis, error) {
	key, list, ok := strings.Cut(text, "=")
	a := Axis{Name: name, Key: strings.TrimSpace(key)}
	if !ok || a.Key == "" {
		return a, fmt.Errorf("is %q; write KEY=VALUE,VALUE, such as seed=1,2,3", text)
	}
	r := csv.NewReader(strings.NewReader(list))
	r.LazyQuotes, r.TrimLeadingSpace = true, true
	values, err := r.Read()
	if err != nil {
		return a, fmt.Errorf("%s has no values; write KEY=VALUE,VALUE, such as seed=1,2,3", a.Key)
	}
	for _, v := range values {
		v = strings.TrimSpace(v)
		if many, ok := rangeOf(v); ok && a.Key != Replace {
			a.Values = append(a.Values, many...)
		} else {
			a.Values = append(a.Values, v)
		}
	}
	return a, a.check()
}

// check refuses an axis that makes no table.
func (a Axis) check() error {
	if len(a.Values) == 0 {
		return fmt.Errorf("%s has no values", a.Key)
	}
	if len(a.Values) > MaxCells {
		return fmt.Errorf("%s has %d values; at most %d make sense", a.Key, len(a.Values), MaxCells)
	}
	for i := range a.Values {
		for k := range a.Values[:i] {
			if a.Label(i) == a.Label(k) {
				return fmt.Errorf("%s has the value %q twice", a.Key, a.Label(i))
			}
		}
	}
	return nil
}

// rangePattern is a range in A1111's form.
var rangePattern = regexp.MustCompile(`^(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)(?:\s*\(([+-]?\d+(?:\.\d+)?)\)|\s*\[(\d+)\])?$`)

// rangeOf reads a range. Whole numbers stay whole.
func rangeOf(text string) (out []any, ok bool) {
	m := rangePattern.FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	from, _ := strconv.ParseFloat(m[1], 64) // the pattern has only numbers
	to, _ := strconv.ParseFloat(m[2], 64)
	step, count := 1.0, 0
	switch {
	case m[3] != "":
		step, _ = strconv.ParseFloat(m[3], 64)
	case m[4] != "":
		count, _ = strconv.Atoi(m[4])
		if count < 2 {
			return nil, false
		}
		step = (to - from) / float64(count-1)
	case to < from:
		step = -1
	}
	if step == 0 || (to-from)/step < 0 {
		return nil, false
	}
	if count == 0 {
		const tolerance = 1e-9
		count = int(math.Floor((to-from)/step+tolerance)) + 1
	}
	for i := range min(count, MaxCells+1) {
		x := from + float64(i)*step
		const digits = 1e6
		x = math.Round(x*digits) / digits
		out = append(out, json.Number(strconv.FormatFloat(x, 'f', -1, 64)))
	}
	return out, true
}

// Cell is a picture of a table, or several if the job asks for several.
type Cell struct {
	At    [3]int // the number of its value on each axis of Names
	Model request.Model
	Job   request.Request
}

// Table is a table.
type Table struct {
	Axes [3]Axis // of Names; one without a key has one value and changes nothing
}

// Size is how many values the axes have.
func (t Table) Size() [3]int {
	var n [3]int
	for i, a := range t.Axes {
		n[i] = max(len(a.Values), 1)
	}
	return n
}

// Expand makes the cells: sheet by sheet, row by row. Errors are request.Errors; path gives an axis the place where it was written.
func (t Table) Expand(run request.Run, path func(axis string) string) (cells []Cell, err error) {
	var errs request.Errors
	size := t.Size()
	if n := size[0] * size[1] * size[2]; n > MaxCells {
		errs.Add(path("x"), "%d x %d x %d cells are more than %d", size[0], size[1], size[2], MaxCells)
		return nil, errs
	}
	if len(run.Jobs) != 1 {
		errs.Add(path("x"), "a table is made of one job, and the run has %d", len(run.Jobs))
		return nil, errs
	}
	for z := range size[2] {
		for y := range size[1] {
			for x := range size[0] {
				c := Cell{At: [3]int{x, y, z}, Model: run.Model, Job: run.Jobs[0]}
				for i, a := range t.Axes {
					if a.Key == "" {
						continue
					}
					if err := c.set(a, c.At[i]); err != nil {
						errs.Add(path(a.Name), "%s", err.Error())
					}
				}
				cells = append(cells, c)
			}
		}
	}
	return cells, errs.Err()
}

// set puts a value of an axis into a cell.
func (c *Cell) set(a Axis, i int) error {
	value := a.Values[i]
	if a.Key == Replace {
		return c.replace(a, i)
	}
	if name, ok := strings.CutPrefix(a.Key, "lora."); ok && !isKey("lora", name) {
		return c.adapter(name, value)
	}
	table := nested(a.Key, value)
	run, err := c.decode(table)
	if text, isText := value.(string); err != nil && isText {
		var literal any
		if d := json.NewDecoder(strings.NewReader(text)); decodeAll(d, &literal) == nil { // 3, 0.5, true
			if other, otherErr := c.decode(nested(a.Key, literal)); otherErr == nil {
				run, err = other, nil
			} else if !strings.Contains(otherErr.Error(), "expected a string") {
				err = otherErr
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s", describe(err, a, i))
	}
	c.Model, c.Job = run.Model, run.Jobs[0]
	return nil
}

// decodeAll reads one value and nothing behind it, its numbers as they are written.
func decodeAll(d *json.Decoder, to any) error {
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}

// decode puts a table over the cell.
func (c *Cell) decode(table map[string]any) (request.Run, error) {
	text, err := json.Marshal(table)
	if err != nil {
		return request.Run{}, err
	}
	return request.Defaults{Model: c.Model, Job: c.Job}.DecodeJSON(text)
}

// describe says what is wrong with a value.
func describe(err error, a Axis, i int) string {
	var errs request.Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		return err.Error()
	}
	if strings.HasPrefix(errs[0].Message, "unknown key") {
		return fmt.Sprintf("%s: %s", a.Key, errs[0].Message)
	}
	return fmt.Sprintf("%s: the value %q %s", a.Key, a.Label(i), errs[0].Message)
}

// isKey reports whether a table has a key.
func isKey(table, name string) bool {
	return slices.ContainsFunc(request.Keys(), func(k request.Key) bool { return k.Table == table && k.Name == name })
}

// nested is a value under a key such as hires.scale. A key of [model] may stand without its table.
func nested(key string, value any) map[string]any {
	parts := strings.Split(strings.ReplaceAll(key, "-", "_"), ".")
	if len(parts) == 1 && parts[0] != "model" && isKey("model", parts[0]) && !isKey("", parts[0]) {
		parts = []string{"model", parts[0]}
	}
	for i := len(parts) - 1; i > 0; i-- {
		value = map[string]any{parts[i]: value}
	}
	return map[string]any{parts[0]: value}
}

// replace puts a value of the axis into the prompts, where its first value stands.
func (c *Cell) replace(a Axis, i int) error {
	from, to := a.Label(0), a.Label(i)
	found := false
	for _, text := range []*string{&c.Job.Prompt, &c.Job.Prompt2, &c.Job.NegativePrompt, &c.Job.NegativePrompt2} {
		if from != "" && strings.Contains(*text, from) {
			*text, found = strings.ReplaceAll(*text, from, to), true
		}
	}
	if !found {
		return fmt.Errorf("%s: no prompt has the text %q; the first value is what is searched for", Replace, from)
	}
	return nil
}

// adapter gives an adapter of the job another weight.
func (c *Cell) adapter(name string, value any) error {
	weight, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil {
		return fmt.Errorf("lora.%s: %q is no weight", name, fmt.Sprint(value))
	}
	c.Job.LoRAs = slices.Clone(c.Job.LoRAs)
	var known []string
	for i := range c.Job.LoRAs {
		l := &c.Job.LoRAs[i]
		if strings.EqualFold(l.Label(), name) {
			l.Weight, l.UNetWeight, l.TextEncoderWeight = &weight, nil, nil
			return nil
		}
		known = append(known, l.Label())
	}
	if len(known) == 0 {
		return fmt.Errorf("lora.%s: the job has no adapters; name it with --lora too. A weight in a tag of the prompt is changed by %s", name,
			Replace)
	}
	return fmt.Errorf("lora.%s: the job has no such adapter; it has %s", name, strings.Join(known, ", "))
}
