package prompt

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	type part struct {
		text   string
		weight float64
	}
	brk := part{"BREAK", -1}
	for _, c := range []struct {
		name, in string
		want     []part
	}{
		{"plain", "a cat", []part{{"a cat", 1}}},
		{"empty", "", nil},
		{"round", "a (cat) sat", []part{{"a ", 1}, {"cat", 1.1}, {" sat", 1}}},
		{"square", "[cat]", []part{{"cat", 1 / 1.1}}},
		{"number", "(cat:1.3)", []part{{"cat", 1.3}}},
		{"number with spaces", "(cat: 1.3 )", []part{{"cat", 1.3}}},
		{"signs", "(a:-0.5)(b:+2)", []part{{"a", -0.5}, {"b", 2}}},
		{"leading point", "(cat:.5)", []part{{"cat", .5}}},
		{"nested", "((a) b)", []part{{"a", 1.1 * 1.1}, {" b", 1.1}}},
		{"nested number", "((a:2) b:3)", []part{{"a", 6}, {" b", 3}}},
		{"number inside square", "[(a:2)]", []part{{"a", 2 * squareFactor}}},
		{"escapes", `a \(b\) \[c\] \\`, []part{{`a (b) [c] \`, 1}}},
		{"lone backslash is dropped", `a\b`, []part{{"ab", 1}}},
		{"backslash at the end", `a\`, []part{{"a", 1}}},
		{"escape in brackets", `(a\):1.5)`, []part{{"a)", 1.5}}},
		{"unclosed round", "(a b", []part{{"a b", 1.1}}},
		{"unclosed square", "[a", []part{{"a", 1 / 1.1}}},
		{"two unclosed", "((a", []part{{"a", 1.1 * 1.1}}},
		{"stray closing", "a) b]", []part{{"a) b]", 1}}},
		{"number without brackets", "a:1.2)", []part{{"a:1.2)", 1}}},
		{"number in square brackets only", "[a:1.2]", []part{{"a:1.2", 1 / 1.1}}},
		{"no number", "(a:b)", []part{{"a:b", 1.1}}},
		{"two points are no number", "(a:1..2)", []part{{"a:1..2", 1.1}}},
		{"exponent is no number", "(a:1e3)", []part{{"a:1e3", 1.1}}},
		{"crossed brackets", "(a [b) c]", []part{{"a ", 1.1}, {"b", 1.1 * squareFactor}, {" c", squareFactor}}},
		{"equal weights join", "(a)(b)", []part{{"ab", 1.1}}},
		{"empty brackets", "()a", []part{{"a", 1}}},
		{"weight zero", "(a:0)", []part{{"a", 0}}},
		{"break", "a BREAK b", []part{{"a", 1}, brk, {"b", 1}}},
		{"break at the ends", "BREAK a BREAK", []part{brk, {"a", 1}, brk}},
		{"break is a word", "BREAKFAST aBREAK _BREAK BREAK1 éBREAK", []part{{"BREAKFAST aBREAK _BREAK BREAK1 éBREAK", 1}}},
		{"break in lower case is text", "break", []part{{"break", 1}}},
		{"break before a comma", "a BREAK, b", []part{{"a", 1}, brk, {", b", 1}}},
		{"break in brackets", "(a BREAK b:2)", []part{{"a", 2}, brk, {"b", 2}}},
		{"unicode", "(猫:1.5) é", []part{{"猫", 1.5}, {" é", 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spans, err := Parse(c.in)
			require.NoError(t, err)
			var got []part
			for _, s := range spans {
				if s.Break {
					got = append(got, brk)
					assert.Equal(t, "BREAK", c.in[s.Start:s.End])
					continue
				}
				got = append(got, part{s.Text, s.Weight})
				require.Len(t, s.origin, len(s.Text))
				for i, o := range s.origin {
					assert.Equal(t, s.Text[i], c.in[o])
				}
			}
			require.Len(t, got, len(c.want), "%v", got)
			for i := range got {
				assert.Equal(t, c.want[i].text, got[i].text)
				assert.InDelta(t, c.want[i].weight, got[i].weight, 1e-12)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		kind     error
		has      string
	}{
		{"60 MB", strings.Repeat("x", 60<<20), ErrTooLong, "62914560 bytes"},
		{"invalid UTF-8", "a cat \xff", ErrEncoding, "byte 6"},
		{"cut rune", "é"[:1], ErrEncoding, "byte 0"},
		{"too many brackets", strings.Repeat("(", 300), ErrSyntax, "256"},
		{"weight out of range", "(a:1001)", ErrSyntax, "1001"},
		{"product out of range", strings.Repeat("(", 9) + "a" + strings.Repeat(":10)", 9), ErrSyntax, "1e+09"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.in)
			require.ErrorIs(t, err, c.kind)
			assert.Contains(t, err.Error(), c.has)
			var e *Error
			assert.True(t, errors.As(err, &e))
		})
	}
}

func TestExtractLoRA(t *testing.T) {
	for _, c := range []struct {
		in, rest string
		tags     []LoRATag
	}{
		{"a cat", "a cat", nil},
		{"a <lora:foo:0.8> cat", "a cat", []LoRATag{{"foo", 0.8, 0.8, 2, 16}}},
		{"<lora:foo>cat", "cat", []LoRATag{{"foo", 1, 1, 0, 10}}},
		{"a<lyco:b c:0.5:0.9>", "a", []LoRATag{{"b c", 0.9, 0.5, 1, 19}}},
		{"<lora:x:te=0.2:unet=0.4>", "", []LoRATag{{"x", 0.4, 0.2, 0, 24}}},
		{"<lora:x:unet=0.4>", "", []LoRATag{{"x", 0.4, 1, 0, 17}}},
		{"<lora:x:-1>, <lora:y:2>", ", ", []LoRATag{{"x", -1, -1, 0, 11}, {"y", 2, 2, 13, 23}}},
		{"a < b > c <hat> <lora", "a < b > c <hat> <lora", nil},
		{"<<lora:x:1>>", "<>", []LoRATag{{"x", 1, 1, 1, 11}}},
	} {
		rest, tags, err := ExtractLoRA(c.in)
		require.NoError(t, err, c.in)
		assert.Equal(t, c.rest, rest, c.in)
		assert.Equal(t, c.tags, tags, c.in)
	}
	for _, in := range []string{"<lora:x:abc>", "<lora::1>", "<lora:x:1:2:3>", "<lora:x:NaN>", "<lora:x:foo=1>", "\xff"} {
		_, _, err := ExtractLoRA(in)
		assert.Error(t, err, in)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a (b:1.2) [c] BREAK d", `\(\)\[\]\\`, "((((", "]]))", "(a:", "([)]", ":1)", "é(猫:-.5)", "<lora:x:1>"} {
		f.Add(s)
	}
	r, err := NewReader(Options{Tokenize: fakeTokens, Embeddings: []Embedding{{Name: "d", L: [][]float32{{1}}, G: [][]float32{{1}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _, _ = ExtractLoRA(s)
		text, err := r.Read(s, 1)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		checkText(t, s, text)
	})
}
