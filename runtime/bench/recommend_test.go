package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/words"
)

func TestRecommend(t *testing.T) {
	results := threeResults()
	key := func(typ string) string { return result(typ, 1, 1, 0).Key }
	for name, c := range map[string]struct {
		limits  Limits
		choice  string
		reasons []string
	}{
		"no limits": {Limits{}, "", []string{"fastest: q4_k", "smallest: q4_k", "most exact: f32"}},
		"memory": {Limits{Memory: 3 << 30}, "q4_k", []string{"q4_k: 2 s a picture, 1.00 GiB",
			"the fastest of the 2 that take at most 3.00 GiB", "f32 takes 4.00 GiB, more than the 3.00 GiB", "q8_0: 3 s",
			"the most exact"}},
		"fidelity": {Limits{PSNR: 30}, "q8_0", []string{"the fastest of the 2 that stay above 30 dB",
			"q4_k has a picture of 20.0 dB, less than the 30.0 dB"}},
		"both": {Limits{Memory: 3 << 30, PSNR: 30}, "q8_0",
			[]string{"the fastest of the 1 that take at most 3.00 GiB and stay above 30 dB"}},
		"exact alone":   {Limits{PSNR: 60}, "f32", []string{"the reference of the others"}},
		"too small":     {Limits{Memory: 1 << 20}, "", []string{"nothing fits: the smallest is m q4_k"}},
		"contradiction": {Limits{Memory: 1 << 30, PSNR: 30}, "", []string{"nothing keeps to both limits"}},
	} {
		a := Recommend(results, c.limits)
		want := c.choice
		if want != "" {
			want = key(c.choice)
		}
		assert.Equal(t, want, a.Choice, name)
		all := strings.Join(a.Reasons, "\n")
		for _, r := range c.reasons {
			assert.Contains(t, all, r, name)
		}
	}
}

// Of results that are about as fast, the more exact one is taken.
func TestRecommendPrefersExactAmongEquals(t *testing.T) {
	results := []Result{result("f16", 2.04, 4<<30, 70), result("q8_0", 2, 2<<30, 50)}
	a := Recommend(results, Limits{PSNR: 10})
	assert.Equal(t, results[0].Key, a.Choice)
	assert.Contains(t, a.Reasons[0], "about as fast as q8_0")
	results[0].Image = summarize([]float64{2.2, 2.21})
	assert.Equal(t, results[1].Key, Recommend(results, Limits{PSNR: 10}).Choice)
	results[0].Image = summarize([]float64{1.7, 2.19, 2.5})
	results[1].Image = summarize([]float64{1.8, 2, 2.3})
	assert.Equal(t, results[0].Key, Recommend(results, Limits{PSNR: 10}).Choice, "its measurements overlap the other's")
	results[0].Image = summarize([]float64{1.7, 2.4, 3})
	assert.Equal(
		t,
		results[1].Key,
		Recommend(results, Limits{PSNR: 10}).Choice,
		"they overlap because they scatter, but the median is a fifth away",
	)
}

func TestParetoFront(t *testing.T) {
	results := append(threeResults(), result("q5_0", 3.5, 3<<30, 39), result("q2_k", 2.5, 1<<29, 10))
	failed := result("q4_0", 0.1, 1, 99)
	failed.Error = "broken"
	a := Recommend(append(results, failed), Limits{})
	assert.Equal(t, []string{results[0].Key, results[1].Key, results[2].Key, results[4].Key}, a.Front, "q5_0 is beaten by q8_0")
	assert.Contains(t, strings.Join(a.Reasons, "\n"), "could not be measured")
	assert.Equal(t, "", Recommend(nil, Limits{}).Choice)
}

// A label has what tells the results apart, and no more.
func TestLabel(t *testing.T) {
	a, b := result("f16", 1, 1, 0), result("q8_0", 1, 1, 0)
	all := []Result{a, b}
	assert.Equal(t, "f16", label(all, &all[0]))
	all[1].Width, all[1].Device = 128, "vulkan:0"
	assert.Equal(t, "q8_0 128x64 vulkan:0", label(all, &all[1]))
}

func TestBytes(t *testing.T) {
	assert.Equal(t, "2.50 GiB", words.Measured(5<<29))
	assert.Equal(t, "1.5 MiB", words.Measured(3<<19))
	assert.Equal(t, "0.5 KiB", words.Measured(512))
}
