package checker

import (
	"image"
	"image/draw"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drawPair draws two scenes with one background into one picture, each in its half.
func drawPair(t *testing.T, first, second Scene, seen image.Rectangle) image.Image {
	t.Helper()
	one, err := first.Draw()
	require.NoError(t, err)
	two, err := second.Draw()
	require.NoError(t, err)
	draw.Draw(one, seen, two, seen.Min, draw.Src)
	return one
}

func TestScorePair(t *testing.T) {
	at := func(colour, shape string, x, y float64) Scene {
		return Scene{Colour: colour, Shape: shape, Background: "white", CenterX: x, CenterY: y, Radius: 22}
	}
	right, bottom := image.Rect(64, 0, 128, 128), image.Rect(0, 64, 128, 128)
	beside := drawPair(t, at("red", "circle", 34, 64), at("blue", "star", 94, 64), right)
	above := drawPair(t, at("red", "ring", 64, 34), at("red", "heart", 64, 94), bottom)
	crossing := drawPair(t, at("red", "circle", 60, 64), at("blue", "star", 94, 64), image.Rect(82, 0, 128, 128))
	alone, err := at("red", "circle", 34, 64).Draw()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		img    image.Image
		prompt string
		ok     [2]bool
	}{
		"beside":       {beside, "a red circle on the left and a blue star on the right on a white background", [2]bool{true, true}},
		"other order":  {beside, "a blue star on the right and a red circle on the left on a white background", [2]bool{true, true}},
		"above":        {above, "a red ring at the top and a red heart at the bottom on a white background", [2]bool{true, true}},
		"places wrong": {beside, "a blue star on the left and a red circle on the right on a white background", [2]bool{}},
		"colour wrong": {beside, "a red circle on the left and a green star on the right on a white background", [2]bool{true, false}},
		"shape wrong":  {beside, "a red square on the left and a blue star on the right on a white background", [2]bool{false, true}},
		"background":   {beside, "a red circle on the left and a blue star on the right on a pink background", [2]bool{}},
		"one is there": {alone, "a red circle on the left and a blue star on the right on a white background", [2]bool{true, false}},
		"in both":      {crossing, "a red circle on the left and a blue star on the right on a white background", [2]bool{false, true}},
	} {
		got, err := ScorePair(c.img, c.prompt)
		require.NoError(t, err, name)
		assert.Equal(t, c.ok, [2]bool{got[0].OK(), got[1].OK()}, "%s: %+v", name, got)
	}
}

func TestParsePairRefuses(t *testing.T) {
	for prompt, says := range map[string]string{
		"a red circle on a white background":                                          "has no two shapes",
		"a red circle on the left and a star on the left on a white background":       "two opposite places",
		"a red circle on the left and a star at the top on a white background":        "two opposite places",
		"a red circle and a blue star on a white background":                          "two opposite places",
		"a red circle on the left and nothing on the right on a white background":     "names no shape",
		"a red blue circle on the left and a star on the right on a white background": `both "red" and "blue"`,
		"a red circle in the center and a star on the right, on a white background":   "two opposite places",
	} {
		_, err := ParsePair(prompt)
		require.ErrorContains(t, err, says, prompt)
	}
}
