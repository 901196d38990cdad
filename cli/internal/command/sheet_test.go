package command

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSheet: pictures come onto one sheet with their captions; what is wrong is told before a picture is read.
func TestSheet(t *testing.T) {
	b := newBench(t)
	var pictures []string
	for _, seed := range []string{"1", "2", "3"} {
		pictures = append(pictures, b.path(seed+".png"))
		require.Equal(t, ExitOK, b.run(small("--seed", seed, "-o", b.path(seed+".png"))...), b.stderr)
	}
	sheet := append([]string{"sheet"}, pictures...)
	require.Equal(t, ExitOK, b.run(append(sheet, "-o", b.path("sheet.png"))...), b.stderr)
	square, _ := readPNG(t, b.path("sheet.png"))
	require.Equal(t, ExitOK, b.run(append(sheet, "-o", b.path("row.png"), "--columns", "3", "--caption",
		"{steps} steps, seed {seed}")...), b.stderr)
	row, _ := readPNG(t, b.path("row.png"))
	assert.Greater(t, row.Bounds().Dx(), square.Bounds().Dx())
	assert.Less(t, row.Bounds().Dy(), square.Bounds().Dy())
	require.Equal(t, ExitOK, b.run(append(sheet, "-o", b.path("plain.png"), "--columns", "3", "--caption", "")...), b.stderr)
	plain, _ := readPNG(t, b.path("plain.png"))
	assert.Less(t, plain.Bounds().Dy(), row.Bounds().Dy(), "without captions it is lower")

	// A caption says what the picture's file tells.
	o := sheetOptions{caption: "{steps} steps, seed {seed} of {file}, {width}x{height}"}
	assert.Equal(t, "3 steps, seed 2 of 2.png, 64x64", o.captionOf(pictures[1]))
	require.NoError(t, os.WriteFile(b.path("text.png"), []byte("no picture"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"sheet", "-o", b.path("x.png")}, ExitUsage, "name the pictures"},
		{append(sheet, "--columns", "2"), ExitUsage, "--output is missing"},
		{append(sheet, "-o", b.path("x.png"), "--columns", "0"), ExitUsage, "--columns is 0"},
		{append(sheet, "-o", b.path("x.png"), "--caption", "{sead}"), ExitUsage, `{sead}, which is unknown; did you mean "seed"?`},
		{append(sheet, "-o", b.path("x.gif")), ExitUsage, ".gif"},
		{[]string{"sheet", b.path("text.png"), "-o", b.path("x.png")}, ExitFile, "text.png"},
		{[]string{"sheet", b.path("nowhere.png"), "-o", b.path("x.png")}, ExitFile, "nowhere.png"},
	} {
		require.Equal(t, c.code, b.run(c.args...), "%s\n%s", strings.Join(c.args, " "), b.stderr)
		assert.Contains(t, b.stderr, c.want)
	}
}
