package prompt

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// when10 is a schedule of ten steps as A1111 lists it: the last step of each text, and the text.
type when10 struct {
	until int
	text  string
}

func schedule(t *testing.T, text string, p Pass) (out []when10) {
	t.Helper()
	e, err := ParseEdits(text)
	require.NoError(t, err, text)
	for step := range p.Steps {
		now := e.At(step, p)
		if n := len(out); n > 0 && out[n-1].text == now {
			out[n-1].until++
			continue
		}
		out = append(out, when10{step + 1, now})
	}
	assert.True(t, e.Changes() || len(out) <= 1, text)
	return out
}

// TestEditsAreA1111s: the texts that A1111's documentation and its parser give for ten steps.
func TestEditsAreA1111s(t *testing.T) {
	first := Pass{Steps: 10}
	for text, want := range map[string][]when10{
		"test":                        {{10, "test"}},
		"a [b:3]":                     {{3, "a "}, {10, "a b"}},
		"a [b: 3]":                    {{3, "a "}, {10, "a b"}},
		"a [[[b]]:2]":                 {{2, "a "}, {10, "a [[b]]"}},
		"[(a:2):3]":                   {{3, ""}, {10, "(a:2)"}},
		"a [b : c : 1] d":             {{1, "a b  d"}, {10, "a  c  d"}},
		"a[b:[c:d:2]:1]e":             {{1, "abe"}, {2, "ace"}, {10, "ade"}},
		"a [unbalanced":               {{10, "a [unbalanced"}},
		"a [b:.5] c":                  {{5, "a  c"}, {10, "a b c"}},
		"((a][:b:c [d:3]":             {{3, "((a][:b:c "}, {10, "((a][:b:c d"}},
		"[a::5]":                      {{5, "a"}, {10, ""}},
		"[:b:3]":                      {{3, ""}, {10, "b"}},
		"[a:b:0.25]":                  {{2, "a"}, {10, "b"}},
		"[a:b:0.99]":                  {{9, "a"}, {10, "b"}},
		"[a:b:1.0]":                   {{10, "a"}},
		"[a:b:1]":                     {{1, "a"}, {10, "b"}},
		"[a:b:0]":                     {{10, "b"}},
		"[a:b:20]":                    {{10, "a"}},
		"[a:b:-1]":                    {{10, "b"}},
		"(x [a:b:3]:1.2)":             {{3, "(x a:1.2)"}, {10, "(x b:1.2)"}},
		"[(a:1.2):(b:0.5):3]":         {{3, "(a:1.2)"}, {10, "(b:0.5)"}},
		`\[a:b:3\]`:                   {{10, `\[a:b:3\]`}},
		`[a\:x:b:3]`:                  {{3, `a\:x`}, {10, "b"}},
		"[a:b BREAK c:3]":             {{3, "a"}, {10, "b BREAK c"}},
		"[less] [photo: a cat] (a:b)": {{10, "[less] [photo: a cat] (a:b)"}},
		"[a:b:c:3]":                   {{10, "[a:b:c:3]"}},
		"[a|b:3]":                     {{10, "[a|b:3]"}},
		"[a (b:3]":                    {{10, "[a (b:3]"}},
		"[[a|b]:c:2]":                 {{1, "a"}, {2, "b"}, {10, "c"}},
	} {
		assert.Equal(t, want, schedule(t, text, first), text)
	}
	assert.Equal(t, []when10{{1, "female"}, {4, "male"}, {5, "female"}}, schedule(t, "[fe|||]male", Pass{Steps: 5}))
	assert.Equal(t, []when10{{1, "a"}, {2, "(b:1.1)"}, {3, "a"}, {4, "(b:1.1)"}}, schedule(t, "[a|(b:1.1)]", Pass{Steps: 4}))
}

// TestEditsOfTheSecondPass: whole steps go on behind the first pass, and fractions from 1 to 2.
func TestEditsOfTheSecondPass(t *testing.T) {
	second := Pass{Steps: 10, Second: true, Before: 10}
	for text, want := range map[string][]when10{
		"a [b:.5] c":  {{10, "a b c"}},
		"a [b:1.5] c": {{5, "a  c"}, {10, "a b c"}},
		"a [b:13] c":  {{3, "a  c"}, {10, "a b c"}},
		"a [b:3] c":   {{10, "a b c"}},
	} {
		assert.Equal(t, want, schedule(t, text, second), text)
	}
	assert.Equal(t, []when10{{10, "a "}}, schedule(t, "a [b:1.5]", Pass{Steps: 10}), "which the first pass does not reach")
}

// TestEditsThatAreNone are said, and those that are never closed are refused.
func TestEditsThatAreNone(t *testing.T) {
	for _, text := range []string{"[photo: a cat]", "[a:b]", "[a:b:c:3]", "[a|b:3]", "[a (b:3]", "x [y [a:b] z:3]"} {
		e, err := ParseEdits(text)
		require.NoError(t, err)
		require.Len(t, e.Doubts, 1, text)
		assert.Contains(t, e.Doubts[0], "is no edit", text)
	}
	for _, text := range []string{"[a]", "a: b", "(a:b)", "[a::5]", "[unclosed", "[scene: a cat"} {
		e, err := ParseEdits(text)
		require.NoError(t, err)
		assert.Empty(t, e.Doubts, text)
	}
	for text, says := range map[string]string{
		"x [a:b:0.5": "byte 2: [ begins an edit that is never closed", "[a:3": "[ begins an edit", "[a|b": "[ begins an alternation",
		"[a:[b:c:3]:5": "byte 0: [ begins an edit", "[a:b:99999999]": "is no step",
	} {
		_, err := ParseEdits(text)
		require.ErrorIs(t, err, ErrSyntax, text)
		assert.ErrorContains(t, err, says, text)
	}
}

func TestSplitAND(t *testing.T) {
	for text, want := range map[string][]Part{
		"a cat":                          {{"a cat", 1}},
		"16:9":                           {{"16:9", 1}},
		"a AND b":                        {{"a ", 1}, {" b", 1}},
		"a :1.2 AND b:0.5":               {{"a", 1.2}, {" b", 0.5}},
		"a AND b : -.5 ":                 {{"a ", 1}, {" b", -0.5}},
		"(a:1.2) AND [b:c:3] AND d":      {{"(a:1.2) ", 1}, {" [b:c:3] ", 1}, {" d", 1}},
		"sAND and ANDs, a_AND AND\nx: 2": {{"sAND and ANDs, a_AND ", 1}, {"\nx", 2}},
	} {
		got, err := SplitAND(text)
		require.NoError(t, err)
		assert.Equal(t, want, got, text)
	}
	_, err := SplitAND("a AND b :1001")
	assert.ErrorContains(t, err, "at most 1000")
	many := "a"
	for range maxParts {
		many += " AND a"
	}
	_, err = SplitAND(many)
	assert.ErrorContains(t, err, "more than 16 parts")
}

func FuzzParseEdits(f *testing.F) {
	f.Add("a [b:c:.5] [d|(e:1.2)] \\[ [f", 7)
	f.Fuzz(func(t *testing.T, text string, step int) {
		e, err := ParseEdits(text)
		if err != nil {
			return
		}
		for _, second := range []bool{false, true} {
			out := e.At(step&1023, Pass{Steps: 20, Second: second, Before: 20})
			if !e.Changes() {
				require.Equal(t, text, out)
			}
		}
	})
}
