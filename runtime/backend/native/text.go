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
	return strings.Map(unicode.ToLower, text)
}
