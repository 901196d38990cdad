package checker

import (
	"encoding/json"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/models/nano"
)

// Expectation is what a prompt asks for. Empty fields ask for nothing.
type Expectation struct {
	Colour     string
	Shape      string
	Background string
	Position   string // "left", "right", "top", "bottom", "center"
	Size       string // "small", "big"
}

var positions = []string{"left", "right", "top", "bottom", "center"}

// Parse reads a prompt of the nano grammar,
//
//	a [small|big] COLOUR SHAPE [on the left|on the right|at the top|at the bottom|in the center] on a COLOUR background
//
// by its words alone, so that "a red circle, blue background" and prompts with other words in
// them are understood too. The colour before "background" is the background's, any other the
// object's. A prompt without a shape, or with two different words for one thing, is an error.
func Parse(prompt string) (Expectation, error) {
	words := strings.FieldsFunc(strings.ToLower(prompt), func(r rune) bool { return r < 'a' || r > 'z' })
	var e Expectation
	for i, w := range words {
		var field *string
		switch {
		case isColour(w) && i+1 < len(words) && words[i+1] == "background":
			field = &e.Background
		case isColour(w):
			field = &e.Colour
		case slices.Contains(shapes, w):
			field = &e.Shape
		case slices.Contains(positions, w):
			field = &e.Position
		case w == "small" || w == "big":
			field = &e.Size
		default:
			continue
		}
		if *field != "" && *field != w {
			return Expectation{}, fmt.Errorf("checker: prompt %q says both %q and %q", prompt, *field, w)
		}
		*field = w
	}
	if e.Shape == "" {
		return Expectation{}, fmt.Errorf("checker: prompt %q names no shape; known shapes: %s", prompt, strings.Join(shapes, ", "))
	}
	return e, nil
}

func isColour(word string) bool {
	return slices.ContainsFunc(palette, func(c namedColour) bool { return c.Name == word })
}

// Result compares a picture with a prompt. A field that the prompt leaves open is true.
type Result struct {
	Expected Expectation
	Found    Finding

	Colour, Background, Shape, Position, Size bool
}

// OK reports whether everything asked for is there.
func (r Result) OK() bool {
	return r.Colour && r.Background && r.Shape && r.Position && r.Size
}

// Score checks a picture against a prompt of the nano grammar. The shape counts if its template
// fits best and overlaps by at least MinIoU.
func Score(img image.Image, prompt string) (Result, error) {
	e, err := Parse(prompt)
	if err != nil {
		return Result{}, err
	}
	return e.Compare(Check(img)), nil
}

// Compare holds a finding against the expectation.
func (e Expectation) Compare(f Finding) Result {
	matches := func(want, got string) bool { return want == "" || want == got }
	return Result{
		Expected:   e,
		Found:      f,
		Colour:     matches(e.Colour, f.Colour),
		Background: matches(e.Background, f.Background),
		Shape:      matches(e.Shape, f.Shape) && f.IoU >= MinIoU,
		Position:   matches(e.Position, f.Position),
		Size:       matches(e.Size, f.Size),
	}
}

// Prompt is one prompt of the held-out set: its combination of colour, shape and background
// never occurred in training. Seed is for torch's CPU generator, one picture a generator.
type Prompt struct {
	Prompt string `json:"prompt"`
	Seed   int64  `json:"seed"`
}

var heldOut = sync.OnceValue(func() []Prompt {
	var out []Prompt
	if err := json.Unmarshal(nano.HeldOutJSON, &out); err != nil {
		panic("checker: embedded heldout.json: " + err.Error())
	}
	return out
})

// HeldOut returns the 200 prompts that the model card's figures are measured on.
func HeldOut() []Prompt {
	return slices.Clone(heldOut())
}

// Summary counts results. Position and Size count only prompts that have such a word.
type Summary struct {
	N, Colour, Background, Shape, All int
	Position, PositionN               int
	Size, SizeN                       int
	SumIoU, SumEdgeWidth              float64
}

// Add counts one result.
func (s *Summary) Add(r Result) {
	s.N++
	s.SumIoU += r.Found.IoU
	s.SumEdgeWidth += r.Found.EdgeWidth
	count := func(ok bool, n *int) {
		if ok {
			*n++
		}
	}
	count(r.Colour, &s.Colour)
	count(r.Background, &s.Background)
	count(r.Shape, &s.Shape)
	count(r.OK(), &s.All)
	if r.Expected.Position != "" {
		s.PositionN++
		count(r.Position, &s.Position)
	}
	if r.Expected.Size != "" {
		s.SizeN++
		count(r.Size, &s.Size)
	}
}

// String is one line with every rate.
func (s Summary) String() string {
	rate := func(k, n int) string { return fmt.Sprintf("%d/%d (%.1f %%)", k, n, 100*float64(k)/float64(max(n, 1))) }
	return fmt.Sprintf("colour %s, background %s, shape %s, position %s, size %s, all %s, mean IoU %.3f, edges %.2f px",
		rate(s.Colour, s.N), rate(s.Background, s.N), rate(s.Shape, s.N), rate(s.Position, s.PositionN),
		rate(s.Size, s.SizeN), rate(s.All, s.N), s.SumIoU/float64(max(s.N, 1)), s.SumEdgeWidth/float64(max(s.N, 1)))
}
