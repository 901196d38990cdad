package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/color"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// withPictures gives results a picture each.
func withPictures(t *testing.T, results []Result) []Result {
	for i := range results {
		results[i].Images = []keptFiles{kept(t, "a <prompt> & more", 400, []float32{float32(i + 1), 2}, grey(uint8(100+i)))}
	}
	return results
}

func htmlOf(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteHTML(&b))
	return b.String()
}

// The page needs nothing but itself: no network, no script.
func TestHTMLIsSelfContained(t *testing.T) {
	text := htmlOf(t, testReport(withPictures(t, threeResults())...))
	assert.NotRegexp(t, `(?i)https?://`, text)
	assert.NotRegexp(t, `(?i)<script|<link|@import|url\(`, text)
	sources := regexp.MustCompile(`src="([^"]{0,30})`).FindAllStringSubmatch(text, -1)
	assert.Len(t, sources, 3+2, "three pictures, two differences")
	for _, s := range sources {
		assert.True(t, strings.HasPrefix(s[1], "data:image/png;base64,"), s[1])
	}
	assert.Contains(t, text, "prefers-color-scheme: dark")
	for _, says := range []string{"q4_k", "CPU &lt;1&gt;", "engine 1", "llamafile", "daguerre bench", "40.0"} {
		assert.Contains(t, text, says)
	}
}

// Drawings are well-formed, inside their frame, and have every type.
func TestHTMLDrawings(t *testing.T) {
	results := threeResults()
	results[1].Quality = result("q8_0", 1, 1, EqualPSNR).Quality
	text := htmlOf(t, testReport(results...))
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
	require.Len(t, drawings, 1+6, "the front; step, picture, memory, file, fidelity, right")
	for _, s := range drawings {
		var width, height float64
		_, err := fmt.Sscanf(regexp.MustCompile(`viewBox="0 0 (\d+ \d+)"`).FindStringSubmatch(s)[1], "%f %f", &width, &height)
		require.NoError(t, err)
		d := xml.NewDecoder(strings.NewReader(s))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, s)
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			for _, a := range e.Attr {
				var v float64
				if _, err := fmt.Sscanf(a.Value, "%f", &v); err != nil {
					continue
				}
				switch a.Name.Local {
				case "x", "x1", "x2", "cx":
					assert.True(t, v >= 0 && v <= width, "%s %v in %s", e.Name.Local, a, s)
				case "y", "y1", "y2", "cy":
					assert.True(t, v >= 0 && v <= height, "%s %v in %s", e.Name.Local, a, s)
				case "width", "r":
					assert.True(t, v >= 0 && v == v, a)
				}
			}
		}
	}
	for _, typ := range []string{"f32", "q8_0", "q4_k"} {
		assert.Contains(t, drawings[0], ">"+typ+"<")
	}
	assert.Equal(t, 3, strings.Count(drawings[0], "<circle"))
}

// Names come from files of strangers.
func TestHTMLEscapes(t *testing.T) {
	results := threeResults()
	for i := range results {
		results[i].Model, results[i].Type = `<img src=x onerror=alert(1)>`, results[i].Type+`"><script>x</script>`
	}
	r := testReport(withPictures(t, results)...)
	r.Models[0].Label, r.Notes = `<b>`, []string{`<i>note</i>`}
	text := htmlOf(t, r)
	assert.NotContains(t, text, "<script>")
	assert.NotContains(t, text, "<img src=x")
	assert.NotContains(t, text, "<i>note")
	assert.NotContains(t, text, "Daguerre: <b>")
}

// Sizes and models have charts of their own; a case that failed has its row only.
func TestHTMLGroups(t *testing.T) {
	results := append(threeResults(), threeResults()...)
	for i := range results[3:] {
		results[3+i].Width = 128
		results[3+i].Key = results[3+i].Case.Key()
	}
	failed := result("q2_k", 1, 1, 0)
	failed.Error = "broken glass"
	text := htmlOf(t, testReport(append(results, failed)...))
	assert.Contains(t, text, "m, 64 x 64, batch 1")
	assert.Contains(t, text, "m, 128 x 64, batch 1")
	assert.Contains(t, text, "broken glass")
	assert.Equal(t, 2, strings.Count(text, "Every type:"))
}

func TestAxis(t *testing.T) {
	a := newAxis(0.13, 0.87, 5, 0, 100)
	assert.Equal(t, []string{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}, ticksOf(a))
	assert.InDelta(t, 50, a.at(0.5), 1e-9)
	assert.Equal(t, []string{"0", "20", "40", "60", "80"}, ticksOf(newAxis(0, 77, 4, 0, 1)))
	a = newAxis(5, 5, 4, 0, 1)
	assert.Less(t, a.from, a.to, "one value has an axis")
}

func ticksOf(a axis) (out []string) {
	for _, v := range a.ticks() {
		out = append(out, a.tick(v))
	}
	return out
}

func TestDifference8(t *testing.T) {
	a, err := picture.Load(kept(t, "x", 16, []float32{1}, func(int, int) color.NRGBA { return color.NRGBA{100, 10, 200, 255} }).Picture)
	require.NoError(t, err)
	b, err := picture.Load(kept(t, "xx", 16, []float32{1}, func(int, int) color.NRGBA { return color.NRGBA{103, 9, 100, 255} }).Picture)
	require.NoError(t, err)
	assert.Equal(t, color.NRGBA{24, 8, 255, 255}, difference8(a, b).NRGBAAt(3, 3))
}
