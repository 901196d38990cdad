package words

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/exp/constraints"
)

// Fold makes the spellings of one name equal: lower case, without blanks, "_", "-" and ".".
func Fold(name string) string { return FoldKey(name, " _-.\t") }

// FoldKey makes the spellings of one key equal: lower case, without the separators given.
func FoldKey(key, separators string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(separators, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, key)
}

// Clip cuts text from outside for a message: at most 60 characters stay.
func Clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// Plural returns word as it stands after n: "picture", "pictures".
func Plural[T constraints.Integer](n T, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// Thousands writes n with commas: "1,234,567".
func Thousands[T constraints.Integer](n T) string {
	s := fmt.Sprint(n)
	first := len(s) - len(strings.TrimPrefix(s, "-")) // of the digits
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Quote makes a name from a stranger's file fit for one line of a message: escaped, and cut when long.
func Quote(s string) string {
	const most = 120
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToGraphic(s)
}
