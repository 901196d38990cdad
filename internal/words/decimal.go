package words

import (
	"regexp"
	"strings"
)

var decimalComma = regexp.MustCompile(`^[+-]?[0-9]*,[0-9]+$`)

// DecimalPoint returns a number that was written with a decimal comma, such as "0,5", with a point; "" for any other text.
func DecimalPoint(text string) string {
	text = strings.TrimSpace(text)
	if !decimalComma.MatchString(text) {
		return ""
	}
	return strings.Replace(text, ",", ".", 1)
}
