package words

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFold(t *testing.T) {
	assert.Equal(t, "dpm++2msde", Fold("DPM++ 2M_SDE"))
	assert.Equal(t, "eulera", Fold(" Euler.a\t-"))
	assert.Equal(t, "guidancescale", FoldKey("guidance_Scale", "_"))
	assert.Equal(t, "guidance-scale", FoldKey("Guidance-Scale", "_"))
}

func TestClip(t *testing.T) {
	long := strings.Repeat("ä", 60)
	assert.Equal(t, long, Clip(long))
	assert.Equal(t, long+"...", Clip(long+"b"))
}

func TestPluralAndThousands(t *testing.T) {
	assert.Equal(t, "byte", Plural(1, "byte"))
	assert.Equal(t, "bytes", Plural(uint32(0), "byte"))
	for n, want := range map[int64]string{0: "0", 999: "999", -999: "-999", 1000: "1,000", -123456: "-123,456",
		math.MaxInt64: "9,223,372,036,854,775,807"} {
		assert.Equal(t, want, Thousands(n))
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64][3]string{
		0:             {"0 B", "0 bytes", "0.0 KiB"},
		-(5 << 20):    {"-5242880 B", "-5.0 MiB", "-5120.0 KiB"},
		1023:          {"1023 B", "1023 bytes", "1.0 KiB"},
		1024:          {"1.0 KiB", "1 KiB", "1.0 KiB"},
		5452595:       {"5.2 MiB", "5.2 MiB", "5.2 MiB"},
		310 << 20:     {"310.0 MiB", "310 MiB", "310.0 MiB"},
		6575 << 20:    {"6.4 GiB", "6.42 GiB", "6.42 GiB"},
		64 << 30:      {"64.0 GiB", "64.0 GiB", "64.00 GiB"},
		2 << 40:       {"2.0 TiB", "2048.0 GiB", "2048.00 GiB"},
		math.MaxInt64: {"8.0 EiB", "8589934592.0 GiB", "8589934592.00 GiB"},
	} {
		assert.Equal(t, want, [3]string{Bytes(n), Budget(n), Measured(n)})
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"6GiB": 6 << 30, "800 MB": 800e6, "1.5e9": 1.5e9, "12 kib": 12 << 10, "7b": 7, "0": 0} {
		n, ok := ParseBytes(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, n, text)
	}
	for _, text := range []string{"", "GiB", "-1", "NaN", "1e40TiB", "6 apples", "75%"} {
		_, ok := ParseBytes(text)
		assert.False(t, ok, text)
	}
}

func TestQuote(t *testing.T) {
	assert.Equal(t, `"a\x1b[31mb"`, Quote("a\x1b[31mb"))
	assert.Equal(t, `"`+strings.Repeat("x", 120)+`..."`, Quote(strings.Repeat("x", 121)))
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ä, 東京, \"quoted\" and \\ too": "plain, ä, 東京, \"quoted\" and \\ too",
		"two\n\tlines":             "two\n\tlines",
		"\x1b[31mred\a\r\x7f":      `\x1b[31mred\a\r\x7f`,
		"\u009b31mC1":              `\u009b31mC1`,
		"a\u202egnp.exe":           `a\u202egnp.exe`,
		"\u2066\u2069\u200e\u061c": `\u2066\u2069\u200e\u061c`,
		"\u2028 \ufeff\x00":        `\u2028 \ufeff\x00`,
		"bad \xff\xc3 byte":        `bad \xff\xc3 byte`,
		"sign \ufffd":              "sign \ufffd",
		"👩\u200d👩\u200d👧, می\u200cخواهم": "👩\u200d👩\u200d👧, می\u200cخواهم",
		"\U000e0001": `\U000e0001`,
	} {
		assert.Equal(t, want, Printable(text))
		assert.Equal(t, Printable(text), Printable(Printable(text)), "once is enough")
	}
	assert.Equal(t, `a\nb\tc\x1b`, OneLine("a\nb\tc\x1b"))
}
