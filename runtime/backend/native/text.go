package native

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalize brings text into the form that the tokenizer expects, as the reference tokenizer does
// (transformers' CLIPTokenizerFast: NFC, then lower case character by character). White space is the
// library's to split at.
func normalize(text string) (string, error) {
	if !utf8.ValidString(text) {
		for i, r := range text {
			if _, size := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 {
				return "", invalid(opTokenize, "text", "byte 0x%02x at offset %d is not UTF-8", text[i], i)
			}
		}
	}
	return lower(norm.NFC.String(text)), nil
}

// lower is Unicode's full lower casing without context: unicode.ToLower, but for the one character
// whose lower case is two, the capital I with a dot.
func lower(text string) string {
	text = strings.ReplaceAll(text, "\u0130", "i\u0307")
	return strings.Map(lowerRune, text)
}

// newer are the capital letters of Unicode 16 and 17 that Go's tables do not have, with their lower case.
var newer = []struct{ first, last, lower rune }{
	{0x1c89, 0x1c89, 0x1c8a}, {0xa7cb, 0xa7cb, 0x264}, {0xa7cc, 0xa7cc, 0xa7cd}, {0xa7ce, 0xa7ce, 0xa7cf}, {0xa7d2, 0xa7d2, 0xa7d3},
	{0xa7d4, 0xa7d4, 0xa7d5}, {0xa7da, 0xa7da, 0xa7db}, {0xa7dc, 0xa7dc, 0x19b}, {0x10d50, 0x10d65, 0x10d70}, {0x16ea0, 0x16eb8, 0x16ebb},
}

func lowerRune(r rune) rune {
	if r >= newer[0].first {
		for _, n := range newer {
			if n.first <= r && r <= n.last {
				return n.lower + r - n.first
			}
		}
	}
	return unicode.ToLower(r)
}
