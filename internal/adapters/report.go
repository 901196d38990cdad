package adapters

import (
	"fmt"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Unmatched is a tensor that was not applied.
type Unmatched struct {
	Tensor string `json:"tensor"`
	Reason string `json:"reason"`

	place    bool // the model has no such module
	leftover int  // 1: its name is known, others of its module are missing; those whose names are not are told first
}

// Report describes an adapter's file and how it goes with a model.
type Report struct {
	Name       string            `json:"name"` // the file's, without its extension
	Path       string            `json:"path"`
	Format     modelfile.Format  `json:"format"` // by content
	Size       int64             `json:"size"`   // of the file in bytes
	Tensors    int               `json:"tensors"`
	Applied    int               `json:"applied"` // tensors that have a place in the model
	Modules    int               `json:"modules"` // modules that are changed
	Targets    int               `json:"targets"` // changes: weights, biases, norms
	Unmatched  []Unmatched       `json:"unmatched,omitempty"`
	Algorithms map[Algorithm]int `json:"algorithms"` // targets of each
	DoRA       int               `json:"dora,omitempty"`
	Ranks      []int             `json:"ranks,omitempty"`  // that occur, ascending
	Alphas     []float64         `json:"alphas,omitempty"` // that occur, ascending
	Components map[string]int    `json:"components"`       // modules changed in each
	Types      map[string]int    `json:"types"`            // tensors of each element type
	Origin     Origin            `json:"origin"`
	Warnings   []string          `json:"warnings,omitempty"`

	Bytes    int64         `json:"bytes"`                  // of the tensors that will be given to the model
	Memory   int64         `json:"memory,omitempty"`       // taken in the model, once loaded
	LoadTime time.Duration `json:"load_time_ns,omitempty"` // of the file and into the model
	Hashes                 // once asked for
}

// Partial reports whether some of the file's tensors were not applied.
func (r *Report) Partial() bool { return r.Applied < r.Tensors }

// firstUnmatched is how many names Summary gives.
const firstUnmatched = 3

// Summary says how much of the file applies: "2,166 of 2,166 tensors applied to 722 modules", with the first names of what
// does not.
func (r *Report) Summary() string {
	s := fmt.Sprintf("%s of %s tensors applied to %s modules", group3(r.Applied), group3(r.Tensors), group3(r.Modules))
	if !r.Partial() {
		return s
	}
	var names []string
	for _, u := range r.Unmatched[:min(len(r.Unmatched), firstUnmatched)] {
		names = append(names, quoteName(u.Tensor)+" ("+u.Reason+")")
	}
	if more := len(r.Unmatched) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %s more", group3(more)))
	}
	return s + "; not applied: " + strings.Join(names, ", ")
}

// group3 writes a count with commas between thousands.
var group3 = words.Thousands[int]
