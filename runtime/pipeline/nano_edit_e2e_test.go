//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestNanoEditingKeepsPlace: an edit of the shape keeps the place that stands beside it. A place that only the first prompt names is lost
// with it, because silence means the center in the nano data: the model was never shown anything else. That is counted, too.
func TestNanoEditingKeepsPlace(t *testing.T) {
	p := openNano(t, measuredIn())
	list, seeds := pairs(t, waysMeasured())
	places := []string{" on the left", " on the right", " at the top", " at the bottom"}
	whens := []string{"0.2"}
	if measureAll() {
		whens = []string{"0.2", "0.5", "0.7", "0.85"}
	}
	for _, when := range whens {
		count := tally{}
		for i, pair := range list {
			first, place := pair[0], places[i%len(places)]
			want := described{first.colour, pair[1].shape, place, first.background}
			for name, edit := range map[string]string{
				"beside": "[" + first.shape + ":" + want.shape + ":" + when + "]" + place,
				"first":  "[" + first.shape + place + ":" + want.shape + ":" + when + "]",
			} {
				r := request.Request{Prompt: article(first.colour) + " " + edit + " on " + article(first.background) + " background",
					Seed: seeds[i], NumInferenceSteps: 20}
				got, err := checker.Score(generate(t, p, r).Images[0], want.String())
				require.NoError(t, err)
				count.add(got.Shape, name+" shape")
				count.add(got.Position, name+" place")
				count.add(got.Shape && got.Position, name)
			}
		}
		n := len(list)
		t.Logf("edit at %s, of %d: place beside the edit: the second's shape %d, in its place %d, both %d; place in the first prompt only: "+
			"shape %d, place %d, both %d", when, n, count["beside shape"], count["beside place"], count["beside"], count["first shape"],
			count["first place"], count["first"])
		if when == "0.2" {
			assert.GreaterOrEqual(t, 10*count["beside"], 9*n)
		}
	}
}
