package adapters

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// peftOFT has the fields of PEFT's OFTConfig that computing needs.
type peftOFT struct {
	COFT    bool    `json:"coft"`
	Eps     float64 `json:"eps"`
	Neumann *bool   `json:"use_cayley_neumann"`
	Terms   *int    `json:"num_cayley_neumann_terms"`
	Version string  `json:"peft_version"`
}

// maxNeumannTerms is more than any useful series has.
const maxNeumannTerms = 1000

// neumann tells whether Cayley's formula is computed as a series. That is PEFT's default.
func (c peftOFT) neumann() bool { return c.Neumann == nil || *c.Neumann }

func (c peftOFT) terms() int {
	if c.Terms == nil {
		return 5
	}
	if *c.Terms < 1 || *c.Terms > maxNeumannTerms {
		panic(fail(lora.ErrFormat, "num_cayley_neumann_terms", "is %d in PEFT's configuration; 1 to %d are wanted", *c.Terms, maxNeumannTerms))
	}
	return *c.Terms
}

// halvedTail tells whether the last term of the series has the factor 1. That is so since PEFT 0.18, the first version that writes its
// number.
func (c peftOFT) halvedTail() bool {
	major, rest, _ := strings.Cut(c.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 == nil && err2 == nil && (a > 0 || b >= 18)
}

// oft is the configuration of a module's rotations; ok is false if there is none.
func (s scaling) oft(module string) (c peftOFT, ok bool) {
	all, _, ok := s.config(module)
	return all.peftOFT, ok
}

// feedforward tells whether PEFT's (IA)^3 scales a module's inputs; known is false without a configuration.
func (s scaling) feedforward(module string) (yes, known bool) {
	c, name, ok := s.config(module)
	if !ok {
		return false, false
	}
	var list []string
	var expression string
	switch {
	case len(c.Feedforward) == 0 || string(c.Feedforward) == "null":
		return false, true
	case json.Unmarshal(c.Feedforward, &list) == nil:
		for _, end := range list {
			if strings.HasSuffix(name, end) {
				return true, true
			}
		}
		return false, true
	case json.Unmarshal(c.Feedforward, &expression) == nil:
		if re, err := regexp.Compile("^(?:" + expression + ")$"); err == nil {
			return re.MatchString(name), true
		}
	}
	panic(fail(lora.ErrFormat, "feedforward_modules", "of PEFT's configuration is neither a list of names nor an expression that can be read"))
}
