package command

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// readTable reads a table's CSV.
func readTable(t *testing.T, path string) [][]string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	require.NoError(t, err)
	return rows
}

// TestTable: a table of 3 x 3 x 2 makes a picture for each cell, the grid and the CSV; each cell has its values.
func TestTable(t *testing.T) {
	b := newBench(t)
	out := b.path("out")
	require.Equal(t, ExitOK, b.run(small("-o", out+"/{job}.png", "--x", "replace=red,green,blue", "--y", "seed=5,7-8",
		"--z", "steps=2,3")...), b.stderr)
	rows := readTable(t, filepath.Join(out, "table.csv"))
	require.Len(t, rows, 1+18)
	assert.Equal(t, []string{"cell", "x: replace", "y: seed", "z: steps", "picture", "picture seed", "file"}, rows[0])
	assert.Equal(t, []string{"13", "green", "7", "3", "0", "7", filepath.Join(out, "13.png")}, rows[14])
	for _, row := range rows[1:] {
		m := manifestOf(t, row[6])
		assert.Equal(t, "a "+row[1]+" circle", m["prompt"])
		assert.Equal(t, row[2], fmt.Sprint(m["seed"]))
		assert.Equal(t, row[3], fmt.Sprint(m["num_inference_steps"]))
	}
	grid, _ := readPNG(t, filepath.Join(out, "grid.png"))
	assert.Greater(t, grid.Bounds().Dx(), 3*64)
	assert.Greater(t, grid.Bounds().Dy(), 6*64)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	assert.Len(t, entries, 18+2, "no journal is left")

	// A cell is the picture that its settings make alone.
	require.Equal(t, ExitOK, b.run(small("--prompt", "a blue circle", "--seed", "8", "--steps", "3", "-o", b.path("one.png"))...), b.stderr)
	want, _ := readPNG(t, b.path("one.png"))
	got, _ := readPNG(t, filepath.Join(out, "17.png"))
	assert.Equal(t, want, got)
}

// TestTableSharesBatches: cells that differ in what batches may mix are computed together. The evaluations of the UNet are counted.
func TestTableSharesBatches(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("generate", "--model", "nano", "-W", "64", "-H", "64", "-o", b.path("t/{job}.png"), "-p", "a red circle",
		"--x", "replace=red,green,blue", "--y", "seed=1,2,3", "--z", "steps=4,8", "--batch", "16"), b.stderr)
	evaluations := b.backend.Count(fake.OpUNet)
	const alone = 9*4 + 9*8 // if each of the 18 pictures was made alone
	assert.Less(t, evaluations, alone/3)
	t.Logf("%d evaluations for 18 pictures; alone they would take %d", evaluations, alone)
}

// TestTableOfModels: an axis of [model] opens each model once, and all cells have the same seed if none is asked for.
func TestTableOfModels(t *testing.T) {
	b := newBench(t)
	file := b.write("run.toml", "prompt = 'x'\nwidth = 64\nheight = 64\noutput = '"+b.path("t/{job:2}-{seed}.png")+"'\n"+
		"[model]\nmodel = 'nano'\n[table]\nx = {key = 'unet_type', values = ['f16', 'q8_0']}\ny = 'num_inference_steps=2,3'\ncsv = '"+
		b.path("list.csv")+"'\n")
	require.Equal(t, ExitOK, b.run("generate", "-c", file), b.stderr)
	rows := readTable(t, b.path("list.csv"))
	require.Len(t, rows, 5)
	types := map[string]int{}
	for _, row := range rows[1:] {
		assert.Equal(t, rows[1][4], row[4], "one seed for all")
		types[row[1]]++
		assert.Equal(t, row[1], manifestOf(t, row[5])["model"].(map[string]any)["settings"].(map[string]any)["unet_type"])
	}
	assert.Equal(t, map[string]int{"f16": 2, "q8_0": 2}, types)
}

// TestTableNames: each cell has a name of its own, and the grid lies in the folder that does not depend on the cell.
func TestTableNames(t *testing.T) {
	b := newBench(t)
	require.NoError(t, os.MkdirAll(b.path("d"), 0o700))
	for _, c := range []struct{ output, first, grid string }{
		{b.path("d") + "/", "d/daguerre-7-000.png", "d/grid.png"},
		{b.path("a/{seed}/x.png"), "a/7/x-000.png", "a/grid.png"},
		{b.path("b/one.png"), "b/one-000.png", "b/grid.png"},
		{b.path("c/{job:2}-{steps}.png"), "c/00-2.png", "c/grid.png"},
	} {
		require.Equal(t, ExitOK, b.run(small("-o", c.output, "--x", "num_inference_steps=2,3", "--steps", "4")...), b.stderr)
		for _, name := range []string{c.first, c.grid} {
			_, err := os.Stat(b.path(name))
			assert.NoError(t, err, b.stdout)
		}
	}
	require.Equal(t, ExitUsage, b.run(small("-o", b.path("x.png"), "--x", "seed=1,2", "--seed", "1", "--grid", "grid.gif")...))
	assert.Contains(t, b.stderr, "--grid")
	require.Equal(t, ExitFile, b.run(small("-o", b.path("m/{job}.png"), "--x", "model=nano,"+b.path("gone.safetensors"))...), b.stderr)
	_, err := os.Stat(b.path("m"))
	assert.ErrorIs(t, err, os.ErrNotExist, "nothing was made")
}

// TestTableMistakes: each is told with the axis and what helps.
func TestTableMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--x", "sead=1,2"}, `--x: sead: unknown key; did you mean "seed"?`},
		{[]string{"--x", "seed"}, `--x is "seed"; write KEY=VALUE,VALUE`},
		{[]string{"--x", "seed=1,1"}, `--x: seed has the value "1" twice`},
		{[]string{"--x", "steps=3,many"}, `--x: steps: the value "many" is the string "many"; expected an integer`},
		{[]string{"--y", "replace=purple,red"}, `--y: replace: no prompt has the text "purple"`},
		{[]string{"--z", "lora.ink=0,1"}, "--z: lora.ink: the job has no adapters"},
		{[]string{"--grid", "g.png"}, "--grid is for tables"},
		{[]string{"--x", "num_inference_steps=0,3"}, "--x: --steps: the value 0 is the default's; give more"},
		{[]string{"--x", "scheduler=Euler,Eular"}, `unknown scheduler "Eular"`},
		{[]string{"--x", "seed=1-20000"}, "at most 10000 make sense"},
		{[]string{"--x", "seed=1-200", "--y", "steps=1-100"}, "200 x 100 x 1 cells are more than 10000"},
	} {
		b := newBench(t)
		args := []string{"generate", "--model", "nano", "-p", "a red circle", "-o", b.path("x.png")}
		require.NotEqual(t, ExitOK, b.run(append(args, c.args...)...))
		assert.Contains(t, b.stderr, c.want, strings.Join(c.args, " "))
	}
}
