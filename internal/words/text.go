package words

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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

// zeroWidth are the two joiners of letters. Names in some scripts need them, and emoji too.
const zeroWidth = "\u200c\u200d"

// Printable makes a text safe to show. It escapes, as Go does (\x1b, \u202e), each character that acts on a terminal, is invisible, or
// changes the order of letters. Line ends and tabs stay.
func Printable(s string) string {
	plain := func(r rune) bool {
		return r == '\n' || r == '\t' || r != utf8.RuneError && (unicode.IsGraphic(r) || strings.ContainsRune(zeroWidth, r))
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case plain(r) || r == utf8.RuneError && n > 1: // U+FFFD, written as itself
			b.WriteString(s[:n])
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// OneLine is Printable without line ends and tabs, for a name inside a line.
func OneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(Printable(s))
}
