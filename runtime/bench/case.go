package bench

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ErrPlan is matched by the errors of a plan that cannot be run.
var ErrPlan = errors.New("bad plan of a benchmark")

// FileType as a Case's Type means the types that the model's file has.
const FileType = "file"

// Case is one combination that is measured.
type Case struct {
	Model     string `json:"model"` // its label
	Type      string `json:"type"`  // of the weights, as backend.Type, or FileType
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Batch     int    `json:"batch"`  // pictures computed together
	Device    string `json:"device"` // as asked for: "auto", "cpu", "vulkan:0"
	Scheduler string `json:"scheduler"`
	Reuse     string `json:"reuse,omitempty"` // what of the UNet's evaluations is left out, as ReadReuse reads it
}

// Key identifies a case among those of a report, and in another report.
func (c Case) Key() string {
	key := fmt.Sprintf("%s %s %dx%d batch %d %s %s", c.Model, c.Type, c.Width, c.Height, c.Batch, c.Device, c.Scheduler)
	if c.Reuse != "" {
		key += " " + c.Reuse
	}
	return key
}

// name is what tells a case from its peers: the type, and what is left out.
func (c Case) name() string {
	if c.Reuse == "" {
		return c.Type
	}
	return c.Type + " " + c.Reuse
}

// peer is the Key without the name: cases with equal peers make the same pictures but for rounding and what is left out.
func (c Case) peer() string {
	c.Type, c.Reuse = "", ""
	return c.Key()
}

// Size is a picture's size in pixels.
type Size struct{ Width, Height int }

// Model is one model of a plan.
type Model struct {
	Label string
	Types []string // FileType, or of backend.Types
}

// Axes span the cases: every combination is one. None may be empty.
type Axes struct {
	Models     []Model
	Sizes      []Size
	Batches    []int
	Devices    []string
	Schedulers []string
	Reuse      []string // of evaluations; none is the same as one "", which leaves nothing out
}

// Cases lists every combination; the types of a model come last, so that what is to be compared is measured close together.
func (a Axes) Cases() ([]Case, error) {
	var out []Case
	seen, ways := map[string]bool{}, a.Reuse
	if len(ways) == 0 {
		ways = []string{""}
	}
	for _, m := range a.Models {
		for _, size := range a.Sizes {
			for _, batch := range a.Batches {
				for _, device := range a.Devices {
					for _, scheduler := range a.Schedulers {
						for _, t := range m.Types {
							c := Case{Model: m.Label, Type: t, Width: size.Width, Height: size.Height, Batch: batch,
								Device: device, Scheduler: scheduler}
							if batch < 1 || size.Width < 8 || size.Height < 8 {
								return nil, fmt.Errorf("%w: %s: sizes and batches have to be positive", ErrPlan, c.Key())
							}
							for _, c.Reuse = range ways {
								if seen[c.Key()] {
									return nil, fmt.Errorf("%w: %s is there twice", ErrPlan, c.Key())
								}
								seen[c.Key()] = true
								out = append(out, c)
							}
						}
					}
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: there is nothing to measure: give a model, a type, a size, a batch, a device and "+
			"a scheduler at least", ErrPlan)
	}
	return out, nil
}

// precisionOrder is how exactly types hold weights, the best first: by the bits of their numbers, then by the error that
// docs/quantization.md has for them. FileType is taken for F16, as files are.
var precisionOrder = []string{"f32", "f16", FileType, "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "iq4_nl",
	"q4_k", "q4_1", "q4_0", "q3_k", "q2_k"}

// comparePrecision orders types, those that hold weights more exactly first. Unknown ones come last.
func comparePrecision(a, b string) int {
	rank := func(t string) int {
		if i := slices.Index(precisionOrder, t); i >= 0 {
			return i
		}
		return len(precisionOrder)
	}
	return cmp.Compare(rank(a), rank(b))
}

// reference returns, for each case, the index of that whose pictures its own are held against: of the same model (with across,
// of the first model), size, batch and scheduler that leaves nothing out and has the highest precision, on the first device.
func reference(cases []Case, across bool) []int {
	first := map[string]int{}
	id := func(c Case) string {
		c.Device = ""
		if across {
			c.Model = ""
		}
		return c.peer()
	}
	for i, c := range cases {
		best, ok := first[id(c)]
		if !ok || c.Model == cases[best].Model && c.Device == cases[best].Device && cmp.Or(compareReuse(c, cases[best]),
			comparePrecision(c.Type, cases[best].Type)) < 0 {
			first[id(c)] = i
		}
	}
	out := make([]int, len(cases))
	for i, c := range cases {
		out[i] = first[id(c)]
	}
	return out
}

// compareReuse orders cases, those that leave nothing out first.
func compareReuse(a, b Case) int {
	return cmp.Compare(min(len(a.Reuse), 1), min(len(b.Reuse), 1))
}

// PrecisionOf is the precision to compute with where none is asked for: exact for F32 weights, what the backend finds best for
// others.
func PrecisionOf(weights string) backend.Precision {
	if strings.EqualFold(weights, string(backend.TypeF32)) {
		return backend.PrecisionExact
	}
	return backend.PrecisionAuto
}
