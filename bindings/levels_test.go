package bindings

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings/bindingstest"
)

// threeLevels are those of a machine whose CPU lacks what the best one needs.
var threeLevels = []level{
	{"amx", []feature{{"avx2", true}, {"avx512_bf16", true}, {"amx_tile", false}, {"amx_bf16", false}}},
	{"bf16", []feature{{"avx2", true}, {"avx512_bf16", true}}},
	{"avx2", []feature{{"avx2", true}}},
}

func TestFindLevels(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "usr", "lib", "daguerre")
	for _, name := range []string{levelFile("avx2"), levelFile("amx"), fileName("vulkan")} {
		write(t, filepath.Join(folder, name), "a library")
	}
	for _, test := range []struct {
		name, forced, variant string
		want                  []string // of the folder
	}{
		{"best first, those that are there, after a library without a level", "", "",
			[]string{fileName("cuda"), fileName("vulkan"), fileName("cpu"), levelFile("amx"), levelFile("avx2")}},
		{"other variants have none", "", "vulkan", []string{fileName("vulkan")}},
		{"forced, and there", "avx2", "cpu", []string{levelFile("avx2")}},
		{"forced, and not there", "bf16", "cpu", []string{levelFile("bf16")}},
		{"forced, beside GPUs", "amx", "", []string{fileName("cuda"), fileName("vulkan"), levelFile("amx")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := elsewhere(root)
			p.levels = threeLevels
			p.getenv = func(name string) string { return map[string]string{envLevel: test.forced}[name] }
			found, err := p.find(Options{Variant: test.variant})
			require.NoError(t, err)
			var names []string
			for _, path := range paths(found) {
				if filepath.Dir(path) == folder {
					names = append(names, filepath.Base(path))
				}
			}
			assert.Equal(t, test.want, names)

			found, err = p.find(Options{Variant: test.variant, Path: folder})
			require.NoError(t, err)
			assert.Len(t, found, len(test.want), "the same in a folder that is named")
		})
	}
}

func TestForcedLevelMustBeKnown(t *testing.T) {
	p := elsewhere(t.TempDir())
	p.levels = threeLevels
	p.getenv = func(name string) string { return map[string]string{envLevel: "sse"}[name] }
	_, err := p.find(Options{})
	assert.EqualError(t, err, `bindings: $DAGUERRE_CPU_LEVEL is "sse"; the levels are avx2, bf16, amx`)
	p.levels = nil
	_, err = p.find(Options{})
	assert.EqualError(t, err, `bindings: $DAGUERRE_CPU_LEVEL is "sse", but for `+runtime.GOARCH+` there are no levels; unset it`)
}

func TestLevelOfAName(t *testing.T) {
	for name, want := range map[string]string{levelFile("avx2"): "avx2", levelFile("amx"): "amx", fileName("cpu"): "",
		levelFile("sse"): "", fileName("cpu-bf16") + ".old": "", strings.Replace(levelFile("amx"), "cpu", "vulkan", 1): ""} {
		l, ok := levelOf(filepath.Join("some", "folder", name), threeLevels)
		assert.Equal(t, want, l.name, name)
		assert.Equal(t, want != "", ok, name)
	}
	assert.Equal(t, []string{"amx_tile", "amx_bf16"}, threeLevels[0].lacks())
	assert.Empty(t, threeLevels[1].lacks())
}

// TestLevelsGrow: each level needs all that the next lower one does, so that the first that runs is the best.
func TestLevelsGrow(t *testing.T) {
	levels := hostLevels()
	if len(levels) == 0 {
		t.Skip("this kind of CPU has no levels")
	}
	for i, l := range levels[1:] {
		assert.Subset(t, levels[i].needs, l.needs, "%s over %s", levels[i].name, l.name)
		assert.Greater(t, len(levels[i].needs), len(l.needs))
	}
}

// TestBestLevelIsLoaded: a folder with a library of every level gives the best that this CPU runs, says so, and tells of a better one why
// it was passed over.
func TestBestLevelIsLoaded(t *testing.T) {
	levels := hostLevels()
	best := -1
	dir := t.TempDir()
	for i, l := range levels {
		bindingstest.Fake(t, dir, levelFile(l.name))
		if best < 0 && len(l.lacks()) == 0 {
			best = i
		}
	}
	if best < 0 {
		t.Skip("this CPU runs none of the released libraries")
	}
	lib, attempts := try(named(dir), "cpu")
	require.NotNil(t, lib)
	assert.Equal(t, levels[best].name, lib.Level())
	assert.Equal(t, filepath.Join(dir, levelFile(levels[best].name)), lib.Path())
	last := attempts[len(attempts)-1]
	assert.Equal(t, "loaded: level "+levels[best].name, last.Outcome)
	for i, l := range levels[:best] {
		assert.Equal(t, "this CPU lacks "+strings.Join(l.lacks(), " ")+" of the level "+l.name, attempts[len(attempts)-1-best+i].Outcome)
	}
}
