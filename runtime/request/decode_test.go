package request

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestByteOrderMark: what some editors write before a text is no part of it.
func TestByteOrderMark(t *testing.T) {
	run, err := DecodeJSON([]byte("\ufeff" + `{"prompt":"x","seed":3}`))
	require.NoError(t, err)
	assert.Equal(t, int64(3), run.Jobs[0].Seed)
	run, err = DecodeTOML([]byte("\ufeffprompt = \"x\"\nseed = 3\n"))
	require.NoError(t, err)
	assert.Equal(t, int64(3), run.Jobs[0].Seed)
}

// TestKeyGivenTwice: JSON's libraries take the last of two keys, or any of two spellings.
func TestKeyGivenTwice(t *testing.T) {
	for text, want := range map[string]string{
		`{"seed":1,"seed":2}`:                               "seed: is given twice, also as seed",
		`{"jobs":[{"seed":1},{"Seed":1,"seed":2}]}`:         "jobs[1].seed: is given twice, also as Seed",
		`{"model":"a","Model":"b"}`:                         "Model: is given twice, also as model",
		`{"model":{"model":"a","threads":1,"threads":2}}`:   "model.threads: is given twice",
		`{"lora":[{"name":"x","weight":1,"weight":0.5}]}`:   "lora[0].weight: is given twice",
		`{"scheduler_options":{"eta":1,"eta":0}}`:           "scheduler_options.eta: is given twice",
		`{"jobs":[{"prompt":"a"}],"Jobs":[{"prompt":"b"}]}`: "Jobs: is given twice, also as jobs",
	} {
		_, err := DecodeJSON([]byte(text))
		assert.ErrorContains(t, err, want, text)
	}
	_, err := DecodeTOML([]byte("model = \"a\"\n[Model]\nmodel = \"b\"\n"))
	assert.ErrorContains(t, err, "is given twice, also as Model")
	_, err = DecodeTOML([]byte("[[jobs]]\nseed = 1\n[[Jobs]]\nseed = 2\n"))
	assert.ErrorContains(t, err, "is given twice, also as Jobs")
}
