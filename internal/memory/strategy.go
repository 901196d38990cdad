package memory

import (
	"cmp"
	"slices"
	"strings"
)

// The ways to hold weights, from the fastest to the smallest; the names are those of a run file's strategy.
const (
	Auto     = "auto"
	Resident = "resident" // everything in memory all the time
	Release  = "release"  // the text encoders and the VAE only while they are used
	Stage    = "stage"    // one component at a time
	Stream   = "stream"   // the UNet's layers as they are needed, the rest as Stage
	Mmap     = "mmap"     // straight from the file where its types are those wanted, the rest as Stage
)

// Strategy is a way to run: how weights are held, and what is done to make buffers smaller.
type Strategy struct {
	Name             string `json:"name"`
	StreamText       bool   `json:"stream_text,omitempty"` // the text encoders' layers as they are needed too
	Tiling           bool   `json:"vae_tiling"`
	Separate         bool   `json:"guidance_separate"` // the halves of guidance one after the other
	AttentionSlicing bool   `json:"attention_slicing"`
}

// separate reports whether the halves of a job's guidance are evaluated one after the other.
func (s Strategy) separate(j Job) bool {
	switch j.GuidanceBatch {
	case GuidanceJoint:
		return false
	case GuidanceSeparate:
		return true
	}
	return s.Separate
}

// What each measure costs in time, relative to the others: they are taken in the order of the sum. Released encoders are read
// again for new prompts, of the page cache mostly; separate halves cost a CPU next to nothing; tiles compute the VAE's levels
// twice; a staged UNet is read again for every batch, a streamed one in every evaluation.
const (
	costRelease    = 1
	costStage      = 4
	costStream     = 16
	costStreamText = 4
	costMmap       = 32
	costTiling     = 3
	costSeparate   = 2
	costSlicing    = 6
)

func (s Strategy) cost() int {
	n := map[string]int{Resident: 0, Release: costRelease, Stage: costStage, Stream: costStream, Mmap: costMmap}[s.Name]
	for _, c := range []struct {
		on   bool
		cost int
	}{{s.StreamText, costStreamText}, {s.Tiling, costTiling}, {s.Separate, costSeparate}, {s.AttentionSlicing, costSlicing}} {
		if c.on {
			n += c.cost
		}
	}
	return n
}

// Switch forces a measure, or leaves it to the plan.
type Switch string

// The switches; the empty one is free.
const (
	Free Switch = ""
	On   Switch = "on"
	Off  Switch = "off"
)

// choices lists what a switch leaves open.
func (s Switch) choices() []bool {
	switch s {
	case On:
		return []bool{true}
	case Off:
		return []bool{false}
	}
	return []bool{false, true}
}

// Force is what the user has decided; zero fields are left to the plan.
type Force struct {
	Strategy         string // Auto is as ""
	Tiling           Switch
	AttentionSlicing Switch
	SlicingUseless   bool     // AttentionSlicing is Off since attention keeps no scores, not since the user says so
	StreamText       Switch   // the text encoders streamed, where the strategy is Stream
	StreamBytes      int64    // window of a streamed component
	Only             []string // strategies that are possible yet; empty: all
}

// strategies lists every way to run that Force leaves open, the fastest first.
func (f Force) strategies(mappable bool) []Strategy {
	names := []string{Resident, Release, Stage, Stream, Mmap}
	if f.Strategy != "" && f.Strategy != Auto {
		names = []string{f.Strategy}
	}
	var out []Strategy
	for _, name := range names {
		if len(f.Only) > 0 && !slices.Contains(f.Only, name) {
			continue
		}
		if name == Mmap && !mappable && f.Strategy != Mmap {
			continue
		}
		texts := []bool{false}
		if name == Stream {
			texts = f.StreamText.choices()
		}
		for _, text := range texts {
			for _, tiling := range f.Tiling.choices() {
				for _, separate := range []bool{false, true} {
					for _, slicing := range f.AttentionSlicing.choices() {
						out = append(out, Strategy{Name: name, StreamText: text, Tiling: tiling, Separate: separate, AttentionSlicing: slicing})
					}
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Strategy) int { return cmp.Compare(a.cost(), b.cost()) })
	return out
}

// String says in words what is done: "text encoders and VAE released after use, VAE by tiles".
func (s Strategy) String() string {
	words := []string{map[string]string{
		Resident: "all weights resident",
		Release:  "text encoders and VAE released after use",
		Stage:    "one component in memory at a time",
		Stream:   "UNet streamed layer by layer",
		Mmap:     "weights straight from the mapped file",
	}[s.Name]}
	if s.StreamText {
		words[0] = "UNet and text encoders streamed layer by layer"
	}
	for _, c := range []struct {
		on   bool
		text string
	}{{s.Tiling, "VAE by tiles"}, {s.Separate, "halves of guidance one after the other"}, {s.AttentionSlicing, "attention in slices"}} {
		if c.on {
			words = append(words, c.text)
		}
	}
	return strings.Join(words, ", ")
}
