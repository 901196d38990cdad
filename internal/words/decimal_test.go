package words

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDecimalPoint(t *testing.T) {
	for text, want := range map[string]string{
		"0,5": "0.5", ",5": ".5", " -1,25 ": "-1.25", "+2,0": "+2.0",
		"": "", "0.5": "", "5": "", "1,": "", "1,2,3": "", "a,5": "", "1.000,5": "", "photo,2": "",
	} {
		assert.Equal(t, want, DecimalPoint(text), text)
	}
}
