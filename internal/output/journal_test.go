package output

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type seeds struct{ Seeds []int }

func openJournal(t *testing.T, dir, fingerprint string) (*Journal, bool) {
	t.Helper()
	j, resumed, err := OpenJournal(dir, Run{Fingerprint: fingerprint, State: seeds{[]int{1, 2}}})
	require.NoError(t, err)
	return j, resumed
}

func TestJournalIsContinued(t *testing.T) {
	dir := t.TempDir()
	j, resumed := openJournal(t, dir, "abc")
	assert.False(t, resumed)
	w := &Writer{}
	for _, key := range []string{"a", "b", "c"} {
		_, err := w.WriteNoted(j, key, filepath.Join(dir, "x.png"), []byte(key))
		require.NoError(t, err)
	}
	_, _, err := OpenJournal(dir, Run{Fingerprint: "abc"})
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, j.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x-2.png"), []byte("!"), 0o600))
	f, err := os.OpenFile(j.Path(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"key":"d","path":"cut o`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	j, resumed = openJournal(t, dir, "abc")
	assert.True(t, resumed)
	var s seeds
	require.NoError(t, j.State(&s))
	assert.Equal(t, []int{1, 2}, s.Seeds)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": false} {
		e, ok := j.Find(key)
		assert.Equal(t, want, ok, key)
		if ok {
			data, err := os.ReadFile(e.Path)
			require.NoError(t, err)
			assert.Equal(t, key, string(data))
		}
	}
	_, err = w.WriteNoted(j, "e", filepath.Join(dir, "e.png"), []byte("e"))
	require.NoError(t, err)
	require.NoError(t, j.Close())
	j, _ = openJournal(t, dir, "abc")
	_, ok := j.Find("e")
	assert.True(t, ok, "a line after one that was cut off")
	assert.Len(t, j.entries, 3)
	assert.False(t, j.Empty())
	require.NoError(t, j.Remove())
	j, resumed = openJournal(t, dir, "abc")
	assert.False(t, resumed)
	require.NoError(t, j.Remove())
}

// TestKilledAtEveryMoment leaves things as a process does that is killed between any two operations of WriteNoted.
func TestKilledAtEveryMoment(t *testing.T) {
	for name, c := range map[string]struct {
		noted, temp, placed bool
		want                bool
	}{
		"while the temporary file is written":        {temp: true},
		"after the note":                             {noted: true, temp: true, want: true},
		"after the link, before the temporary went":  {noted: true, temp: true, placed: true, want: true},
		"at the end":                                 {noted: true, placed: true, want: true},
		"and the disk lost both files after a crash": {noted: true},
	} {
		for _, replace := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				path, temp := filepath.Join(dir, "x.png"), ""
				j, _ := openJournal(t, dir, "abc")
				temp = filepath.Join(dir, j.tempPrefix()+"1"+tempSuffix)
				write := func(name string) { require.NoError(t, os.WriteFile(name, []byte("data"), 0o600)) }
				if replace && !c.placed {
					require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
				}
				if c.temp {
					write(temp)
				}
				if c.noted {
					require.NoError(t, j.note(Entry{Key: "k", Path: path, Temp: temp, Bytes: 4, Replace: replace,
						SHA256: "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"}))
				}
				if c.placed {
					write(path)
				}
				require.NoError(t, j.Close())
				j, _, err := OpenJournal(dir, Run{Fingerprint: "abc", Overwrite: replace})
				require.NoError(t, err)
				j.Sweep(dir)
				_, ok := j.Find("k")
				assert.Equal(t, c.want, ok)
				if c.want {
					data, err := os.ReadFile(path)
					require.NoError(t, err)
					assert.Equal(t, "data", string(data))
				}
				assert.NoFileExists(t, temp)
				require.NoError(t, j.Remove())
			})
		}
	}
}

func TestJournalOfSomethingElse(t *testing.T) {
	dir := t.TempDir()
	j, _ := openJournal(t, dir, "abcdefghijklmnop")
	path := j.Path()
	require.NoError(t, j.Close())
	for _, text := range []string{"", "\n\n", "not JSON", `{"journal":99,"fingerprint":"abcdefghijklmnop"}` + "\n",
		`{"journal":1,"fingerprint":"abcdefghijklXXXX"}` + "\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		j, resumed := openJournal(t, dir, "abcdefghijklmnop")
		assert.False(t, resumed, text)
		require.NoError(t, j.Close())
		j, resumed = openJournal(t, dir, "abcdefghijklmnop")
		assert.True(t, resumed, text)
		require.NoError(t, j.Close())
	}
	a, err := Fingerprint(1, "x", map[string]int{"b": 1, "a": 2})
	require.NoError(t, err)
	b, err := Fingerprint(1, "x", map[string]int{"a": 2, "b": 1})
	require.NoError(t, err)
	assert.Equal(t, a, b)
	c, err := Fingerprint(1, "y", map[string]int{"a": 2, "b": 1})
	require.NoError(t, err)
	assert.NotEqual(t, a, c)
}
