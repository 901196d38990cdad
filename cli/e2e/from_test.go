package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFromGivesThePictureAgain: pictures with random settings over all features give their own pixels again by --from. make from-pictures
// does it for more of them.
func TestFromGivesThePictureAgain(t *testing.T) {
	count := 6
	if text := os.Getenv("DAGUERRE_FROM_PICTURES"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	recipeInputs(t, dir)
	var made []*recipe
	for n := range count {
		made = append(made, fromAgain(t, dir, n))
	}
	if count >= len(features) {
		assert.Empty(t, covered(made), "features that no picture had")
	}
}

// mostTries is how often settings are drawn until some go together.
const mostTries = 60

// fromAgain makes a picture of random settings, and makes it again by --from. It returns the settings.
func fromAgain(t *testing.T, dir string, n int) *recipe {
	t.Helper()
	var r *recipe
	stem := filepath.Join(dir, fmt.Sprintf("p%d", n)) // its inputs lie beside it
	var last result
	for try := range mostTries {
		r = drawRecipe(dir, n, try)
		r.job["output"] = stem + ".png"
		jobs, err := json.Marshal(table{"model": r.model, "jobs": []table{r.job}})
		require.NoError(t, err)
		file := stem + ".json"
		require.NoError(t, os.WriteFile(file, jobs, 0o600))
		if last = run(t, "generate", "-c", file, "--no-config", "--quiet"); last.code == 0 {
			break
		}
		require.Contains(t, []int{2, 3}, last.code, "%v: %s", r.has, last.stderr) // settings that do not go together
	}
	require.Zero(t, last.code, "no settings go together: %s", last.stderr)
	t.Logf("picture %d: %v", n, r.has)
	name := stem + ".png"
	if r.job["num_images"] == 2 {
		name = stem + "-1.png"
	}
	want, texts := readPNG(t, name)
	again := stem + "-again.png"
	got := run(t, "generate", "--no-config", "--from", name, "--lora-dir", dir+"/loras", "--control-dir", dir+"/nets", "--ip-adapter-dir",
		dir+"/nets", "--model-dir", dir, "--embedding-directory", dir, "-o", again)
	require.Zero(t, got.code, "%v: %s\n%s", r.has, got.stderr, texts["daguerre"])
	assert.NotContains(t, got.stderr, "differ", "%v", r.has)
	img, _ := readPNG(t, again)
	assert.True(t, assert.ObjectsAreEqual(want, img), "picture %d, %v: other pixels\n%s\n%s", n, r.has, got.stderr, texts["daguerre"])
	return r
}
