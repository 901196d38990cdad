package prompt

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lists are wildcards for tests.
func lists(name string) ([]string, error) {
	lines, ok := map[string][]string{"colour": {"red", "green", "blue"}, "animals/dog": {"a {big|small} dog"},
		"my_list": {"0::never", "always"},
		"circle":  {"__circle__"}, "nested": {"__colour__ circle"}}[name]
	if !ok {
		return nil, errors.New("there is no wildcard " + name)
	}
	return lines, nil
}

// TestDrawIsStable: what a seed draws is part of the documentation and must never change.
func TestDrawIsStable(t *testing.T) {
	for text, want := range map[string][4]string{ // of the seeds 0 to 3
		"a cat":                          {"a cat", "a cat", "a cat", "a cat"},
		"a {red|green|blue} cat":         {"a blue cat", "a green cat", "a green cat", "a red cat"},
		"a __colour__ cat":               {"a blue cat", "a green cat", "a green cat", "a red cat"},
		"{2$$red|green|blue}":            {"blue, red", "green, blue", "green, blue", "red, blue"},
		"{1-2$$ and $$red|green}":        {"red and green", "green and red", "green and red", "green"},
		`\{a|b\} \__colour__ {c} __ a_b`: {`\{a|b\} \__colour__ {c} __ a_b`, "", "", ""},
	} {
		for seed, want := range want {
			if want == "" {
				continue
			}
			got, err := Draw(text, uint64(seed), lists)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%s with the seed %d", text, seed)
		}
	}
	d := drawer{}
	for _, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} { // SplitMix64's own of the seed 0
		assert.Equal(t, float64(want>>11)/(1<<53), d.next())
	}
}

// TestDrawsAreFair: each option as often as its weight says, and each once of several.
func TestDrawsAreFair(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(4000) {
		s, err := Draw("{3::a|b|0::c}{[x|y]|(z)}", seed, lists)
		require.NoError(t, err)
		count[s[:1]]++
		count[s[1:]]++
		s, err = Draw("{3$$$$a|b|c}", seed, lists)
		require.NoError(t, err)
		assert.Len(t, s, 3)
		assert.True(t, strings.ContainsAny(s, "a") && strings.Contains(s, "b") && strings.Contains(s, "c"))
	}
	assert.InDelta(t, 3000, count["a"], 150)
	assert.InDelta(t, 1000, count["b"], 150)
	assert.Zero(t, count["c"])
	assert.InDelta(t, 2000, count["[x|y]"], 150)
	assert.InDelta(t, 2000, count["(z)"], 150)
}

func TestDrawNests(t *testing.T) {
	for text, want := range map[string][]string{
		"__animals/dog__":              {"a big dog", "a small dog"},
		"__my_list__":                  {"always"},
		"{__nested__|x}":               {"red circle", "green circle", "blue circle", "x"},
		"{2$$__colour__}":              {"red, green", "green, red", "red, blue", "blue, red", "green, blue", "blue, green"},
		"<lora:a__b__c:1> __my_list__": {"<lora:a__b__c:1> always"},
		"<lora:__colour__:1>":          {"<lora:red:1>", "<lora:green:1>", "<lora:blue:1>"},
		"{a|}b":                        {"ab", "b"},
	} {
		require.NoError(t, CheckDraws(text, lists), text)
		assert.True(t, Draws(text), text)
		for seed := range uint64(30) {
			got, err := Draw(text, seed, lists)
			require.NoError(t, err)
			assert.Contains(t, want, got, text)
		}
	}
	for _, text := range []string{"a", "{a}", `\{a|b}`, "a__b", "snake_case_", "____", "(a|b)", "[a|b]"} {
		assert.False(t, Draws(text), text)
	}
}

// TestDrawErrors are told by Draw or by CheckDraws, which visits every option.
func TestDrawErrors(t *testing.T) {
	for text, says := range map[string]string{
		"{a|b": "byte 0: { begins options that are never closed", "__nothing__": "there is no wildcard nothing", "{a|__nothing__}": "no wildcard",
		"__circle__": "in a circle", "{x$$a|b}": `"x" before $$ is no number`, "{5$$a|b}": "5 to 5 of 2 options", "{2-1$$a|b}": "cannot be taken",
		"{0::a|0::b}": "all weights of the options are 0",
	} {
		err := CheckDraws(text, lists)
		if err == nil {
			_, err = Draw(text, 1, lists)
		}
		require.Error(t, err, text)
		assert.ErrorContains(t, err, says, text)
	}
	assert.Contains(t, unopened("a {masterpiece} b"), "{masterpiece} has no options")
	assert.Empty(t, unopened(`a \{b\} {c|d} {2$$__x__}`))
}

func FuzzDraw(f *testing.F) {
	f.Add("{2$$a|__b__|{c|d}} \\{ __x", uint64(7))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		a, err := Draw(text, seed, func(string) ([]string, error) { return []string{"x", "2::{y|z}"}, nil })
		b, _ := Draw(text, seed, func(string) ([]string, error) { return []string{"x", "2::{y|z}"}, nil })
		if err == nil {
			require.Equal(t, a, b)
		}
	})
}

// TestForeignSyntax: what other programs' prompt languages have is refused or said, and not painted.
func TestForeignSyntax(t *testing.T) {
	for _, text := range []string{"a AND_PERP b", "a ADDCOL b", "${x=!{a|b}} c", "a <hypernet:b:1>", `("a", "b").blend(0.5, 0.5)`, `(a cat).swap(dog)`} {
		_, err := Foreign(text)
		require.ErrorIs(t, err, ErrSyntax, text)
		assert.ErrorContains(t, err, "is not offered", text)
	}
	for _, text := range []string{"a cat++ here", "(big ears)--", "a {masterpiece}"} {
		doubts, err := Foreign(text)
		require.NoError(t, err)
		assert.Len(t, doubts, 1, text)
	}
	for _, text := range []string{"a <lora:b:1> c", "salt AND pepper", "ADD SOME", "a -- b", "$5 {a|b}", "1girl <3 (x)"} {
		doubts, err := Foreign(text)
		require.NoError(t, err)
		assert.Empty(t, doubts, text)
	}
}

// TestComfyUIWeights: a number counts whatever is around it, and nested brackets multiply.
func TestComfyUIWeights(t *testing.T) {
	for text, want := range map[string][]Span{
		"a (b:1.2) c":       {{Text: "a ", Weight: 1}, {Text: "b", Weight: 1.2}, {Text: " c", Weight: 1}},
		"((a:1.2) b:0.5)":   {{Text: "a", Weight: 1.2}, {Text: " b", Weight: 0.5}},
		"(a (b))":           {{Text: "a ", Weight: 1.1}, {Text: "b", Weight: 1.1 * 1.1}},
		"[a] BREAK (b":      {{Text: "[a] BREAK (b", Weight: 1}},
		`\(a\) (b\):2) c\n`: {{Text: "(a) ", Weight: 1}, {Text: "b)", Weight: 2}, {Text: ` c\n`, Weight: 1}},
		"(16:9 x)":          {{Text: "16:9 x", Weight: 1.1}},
	} {
		got, err := parseComfyUI(text)
		require.NoError(t, err)
		require.Len(t, got, len(want), text)
		for i, s := range got {
			assert.Equal(t, want[i].Text, s.Text, text)
			assert.InDelta(t, want[i].Weight, s.Weight, 1e-9, text)
			assert.Len(t, s.origin, len(s.Text))
		}
	}
	_, err := parseComfyUI("(a:1001)")
	assert.ErrorContains(t, err, "at most 1000")
}
