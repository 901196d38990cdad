package checker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDrawIsFoundAgain: the checker finds every shape where it was drawn, with hard edges.
func TestDrawIsFoundAgain(t *testing.T) {
	for _, shape := range shapes {
		s := Scene{Colour: "white", Shape: shape, Background: "black", CenterX: 50, CenterY: 71, Radius: 34}
		img, err := s.Draw()
		require.NoError(t, err)
		f := Check(img)
		assert.Equal(t, []string{"white", shape, "black"}, []string{f.Colour, f.Shape, f.Background})
		assert.InDelta(t, s.CenterX, f.CenterX, 1, shape)
		assert.InDelta(t, s.CenterY, f.CenterY, 1, shape)
		assert.InDelta(t, s.Radius, f.Radius, 1.5, shape)
		assert.Less(t, f.EdgeWidth, 1.6, shape)
	}
}

func TestDrawKnowsItsWords(t *testing.T) {
	for _, s := range []Scene{{Colour: "mauve", Shape: "circle", Background: "red"}, {Colour: "red", Shape: "cube", Background: "blue"},
		{Colour: "red", Shape: "circle", Background: "sky"}} {
		_, err := s.Draw()
		require.ErrorContains(t, err, "checker: ")
	}
}
