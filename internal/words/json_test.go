package words

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKeyTwice(t *testing.T) {
	for text, want := range map[string][2]string{
		`{"id":1,"Id":2}`:                                     {"Id", "id"},
		`{"id":1,"id":1}`:                                     {"id", "id"},
		`{"i\u0064":1,"id":1}`:                                {"id", "id"},
		`{"a":{"guidance_scale":1,"GuidanceScale":2}}`:        {"a.GuidanceScale", "guidance_scale"},
		`{"a":[[{"b":1}],{"b":{"c":null,"d":[],"C":null}}]}`:  {"a[1].b.C", "c"},
		`{"a":[{"x":"}"},{"x":"{"}],"x":{"a":1},"b":{"a":2}}`: {},
		`{"a":"\"a\":1","b":1}`:                               {},
		`[]`:                                                  {},
		`{}`:                                                  {},
	} {
		path, first, twice := KeyTwice([]byte(text), "_-")
		assert.Equal(t, want, [2]string{path, first}, text)
		assert.Equal(t, want[1] != "", twice, text)
	}
}

func TestWithoutBOM(t *testing.T) {
	assert.Equal(t, "{}", string(WithoutBOM([]byte("\xef\xbb\xbf{}"))))
	assert.Equal(t, "{}", string(WithoutBOM([]byte("{}"))))
}
