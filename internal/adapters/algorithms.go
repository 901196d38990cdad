package adapters

import (
	"cmp"
	"slices"
	"strings"
)

// Algorithm names how an adapter parametrises its change, by LyCORIS' names. Each is a constant beside its algorithm.
type Algorithm string

// algorithm is how one kind of adapter is read. A new one is a file with one of these, and a line in algorithms.
type algorithm struct {
	parts []part          // a tensor's name ends in a dot and one of them
	also  map[string]part // or in one of these
	pairs [][2]part       // each is of no use without the other
	// plan makes a target of a group that has any of the parts; nil where others are missing.
	plan func(*group, *source) *planned
}

// algorithms in the order in which they make targets of one module.
var algorithms = []algorithm{loraAlgorithm, lohaAlgorithm, lokrAlgorithm, gloraAlgorithm, gloraInputAlgorithm, oftAlgorithm,
	peftOFTAlgorithm, peftBOFTAlgorithm, ia3Algorithm, peftIA3Algorithm, ia3BiasAlgorithm, fullAlgorithm, normAlgorithm, fullBiasAlgorithm,
	normBiasAlgorithm}

// part says what a tensor is within its module's adapter, by LyCORIS' and kohya's keys.
type part string

// The parts that several algorithms have.
const (
	partAlpha     part = "alpha"
	partMagnitude part = "dora_scale"
	// partPEFTMagnitude is PEFT's, always one per output; LyCORIS' shape tells which axis it is for.
	partPEFTMagnitude part = "lora_magnitude_vector"
)

// common are the parts that several algorithms have; they make no target.
var common = algorithm{
	parts: []part{partAlpha, partMagnitude, partPEFTMagnitude},
	also: map[string]part{".network_alpha": partAlpha, ".lora_magnitude_vector.weight": partPEFTMagnitude,
		".lora_magnitude_vector.default.weight": partPEFTMagnitude},
}

// suffix is an end of a tensor's name and what it means.
type suffix struct {
	text string
	part part
}

// suffixes of all algorithms, the longest first: it says most.
var suffixes = func() (out []suffix) {
	for _, a := range append(slices.Clone(algorithms), common) {
		for _, p := range a.parts {
			out = append(out, suffix{text: "." + string(p), part: p})
		}
		for text, p := range a.also {
			out = append(out, suffix{text: text, part: p})
		}
	}
	slices.SortFunc(out, func(a, b suffix) int { return cmp.Compare(len(b.text), len(a.text)) })
	return out
}()

// splitKey parts a tensor's name into its module, as the file names it, and its role there. ok is false for a name that
// is no adapter's.
func splitKey(name string) (module string, s suffix, ok bool) {
	for _, s := range suffixes {
		if base, found := strings.CutSuffix(name, s.text); found && base != "" {
			return base, s, true
		}
	}
	return "", suffix{}, false
}
