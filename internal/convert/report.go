package convert

import (
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// Report says what was written, and how far it is from the input.
type Report struct {
	Input   string         `json:"input"`
	Output  string         `json:"output"`
	Format  string         `json:"format"`
	Type    string         `json:"type"` // asked for
	Rules   []string       `json:"rules,omitempty"`
	Before  int64          `json:"bytes_before"` // of tensor data
	After   int64          `json:"bytes_after"`
	Types   []TypeReport   `json:"types"`   // of the output, in the order of first use
	Tensors []TensorReport `json:"tensors"` // in the order of the file
	// LeftOut names tensors that were left out: computing does not need them, and the output's format does not have their type.
	LeftOut []string `json:"left_out,omitempty"`
}

// TypeReport sums up the tensors that got one type.
type TypeReport struct {
	Type     string  `json:"type"`
	Tensors  int     `json:"tensors"`
	Elements int64   `json:"elements"`
	Bytes    int64   `json:"bytes"`
	Error    float64 `json:"error"` // root mean square over the tensors' Errors
	Worst    float64 `json:"worst"` // the largest Error of a tensor
}

// TensorReport is one tensor. Types are in lower case, as options take them.
type TensorReport struct {
	Name      string  `json:"name"`
	Component string  `json:"component,omitempty"`
	Shape     []int64 `json:"shape"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	Why       string  `json:"why,omitempty"` // where To is not the type asked for, or a rule decided
	Bytes     int64   `json:"bytes"`         // as written
	// Error is the root mean square of the differences to the input, over that of the input's values; MaxError is the largest
	// difference. Both are of what was read back from the disk.
	Error    float64 `json:"error"`
	MaxError float64 `json:"max_error"`
}

func newReport(in, out string, opt Options, p *plan) *Report {
	r := &Report{Input: in, Output: out, Format: string(opt.Format), Type: lower(opt.Type), Rules: ruleTexts(opt.Rules), Before: p.total,
		After: p.bytes(), LeftOut: p.left}
	for _, it := range p.items {
		r.Tensors = append(r.Tensors, TensorReport{Name: it.Unique, Component: it.Component, Shape: it.Shape, From: lower(it.DType),
			To: lower(it.to), Why: it.why, Bytes: it.size})
	}
	return r
}

func lower(t modelfile.DType) string { return strings.ToLower(string(t)) }

// sum fills in Types.
func (r *Report) sum() {
	at := map[string]int{}
	for _, t := range r.Tensors {
		i, ok := at[t.To]
		if !ok {
			i = len(r.Types)
			at[t.To] = i
			r.Types = append(r.Types, TypeReport{Type: t.To})
		}
		s := &r.Types[i]
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		s.Tensors++
		s.Elements += n
		s.Bytes += t.Bytes
		s.Error += t.Error * t.Error
		s.Worst = max(s.Worst, t.Error)
	}
	for i := range r.Types {
		s := &r.Types[i]
		s.Error = math.Sqrt(s.Error / float64(s.Tensors))
	}
}
