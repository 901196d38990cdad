package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A table of figures is parted where it does not fit; a remark stands where there is room for it.
func TestFigures(t *testing.T) {
	rows := [][]string{{"CASE", "LOAD", "STEP", "FILE", "PEAK"}, {"f16", "1", "2", "30 MiB", "40 MiB"},
		{"q8_0", "failed: the file has ended early"}}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `
CASE  LOAD  STEP  FILE    PEAK
f16   1     2     30 MiB  40 MiB
q8_0  failed: the file has ended early
`}, {38, `
CASE  LOAD  STEP  FILE    PEAK
f16   1     2     30 MiB  40 MiB
q8_0  failed: the file has ended early
`}, {24, `
CASE  LOAD  STEP
f16   1     2
q8_0  failed: the file
      has ended early

CASE  FILE    PEAK
f16   30 MiB  40 MiB
`}, {18, `
CASE  LOAD  STEP
f16   1     2
q8_0  failed: the
      file has
      ended early

CASE  FILE
f16   30 MiB

CASE  PEAK
f16   40 MiB
`},
	} {
		var p page
		p.figures(rows, 1, "FILE")
		assert.Equal(t, strings.TrimPrefix(c.want, "\n"), p.layout(c.width), c.width)
	}
}
