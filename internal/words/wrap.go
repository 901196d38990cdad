package words

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks a text into lines of at most width characters, at its spaces. Words that are longer stay whole. Line ends count as spaces.
// A width of 0 or less is no limit.
func Wrap(text string, width int) []string {
	var lines []string
	line, length := "", 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
			line, length = word, n
		case width > 0 && length+1+n > width:
			lines = append(lines, line)
			line, length = word, n
		default:
			line, length = line+" "+word, length+1+n
		}
	}
	return append(lines, line)
}

// WrapCommand breaks a command line of a shell into lines of at most width characters. All but the last end in a backslash, and all but the
// first are indented. What stands in quotes stays whole.
func WrapCommand(text string, width int) []string {
	const indent = "    "
	var lines []string
	line := ""
	for _, arg := range arguments(text) {
		switch {
		case line == "":
			line = arg
		case utf8.RuneCountInString(line)+len(" ")+utf8.RuneCountInString(arg)+len(` \`) > width:
			lines = append(lines, line+` \`)
			line = indent + arg
		default:
			line += " " + arg
		}
	}
	return append(lines, line)
}

// arguments parts a command line at its spaces, but for those in quotes. A flag and its value stay together.
func arguments(text string) (list []string) {
	quote := rune(0)
	begin := true
	for _, r := range strings.TrimSpace(text) {
		switch {
		case quote == 0 && r == ' ':
			begin = true
			continue
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		if begin {
			list = append(list, "")
		}
		list[len(list)-1] += string(r)
		begin = false
	}
	var out []string
	for i, arg := range list {
		if i > 0 && strings.HasPrefix(list[i-1], "-") && !strings.HasPrefix(arg, "-") && len(list[i-1])+len(arg) < 32 {
			out[len(out)-1] += " " + arg
			continue
		}
		out = append(out, arg)
	}
	return out
}
