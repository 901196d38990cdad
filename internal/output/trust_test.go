package output

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const dataSum = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7" // of "data"

func put(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// journalName is where openJournal puts the journal of "abc".
func journalName(dir string) string { return filepath.Join(dir, ".daguerre-run-abc.jsonl") }

// TestJournalIsNoLink: what stands at the journal's name and is no file of ours is not followed, read or replaced.
func TestJournalIsNoLink(t *testing.T) {
	for name, plant := range map[string]func(t *testing.T, path, victim string){
		"a symbolic link": func(t *testing.T, path, victim string) { require.NoError(t, os.Symlink(victim, path)) },
		"a symbolic link to nothing": func(t *testing.T, path, victim string) {
			require.NoError(t, os.Symlink(victim+".none", path))
		},
		"a folder":     func(t *testing.T, path, _ string) { require.NoError(t, os.Mkdir(path, 0o700)) },
		"a named pipe": func(t *testing.T, path, _ string) { require.NoError(t, mkfifo(path)) },
		"a link to a device": func(t *testing.T, path, _ string) {
			require.NoError(t, os.Symlink(os.DevNull, path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			victim := put(t, filepath.Join(dir, "victim"), "precious")
			plant(t, journalName(dir), victim)
			done := make(chan error, 1)
			go func() {
				_, _, err := OpenJournal(dir, Run{Fingerprint: "abc"})
				done <- err
			}()
			select {
			case err := <-done:
				require.ErrorContains(t, err, "remove it")
				require.ErrorContains(t, err, journalName(dir))
			case <-time.After(time.Minute):
				t.Fatal("it waits")
			}
			assert.Equal(t, "precious", contents(t, victim))
			assert.NoFileExists(t, victim+".none")
		})
	}
	t.Run("a hard link", func(t *testing.T) {
		dir := t.TempDir()
		victim := put(t, filepath.Join(dir, "victim"), "precious")
		require.NoError(t, os.Link(victim, journalName(dir)))
		j, resumed := openJournal(t, dir, "abc")
		assert.False(t, resumed)
		require.NoError(t, j.Close())
		assert.Equal(t, "precious", contents(t, victim), "the name was given to another file")
		j, resumed = openJournal(t, dir, "abc")
		assert.True(t, resumed)
		require.NoError(t, j.Close())
	})
}

// TestNotedFilesThatAreNone: what a journal notes and is a pipe, a folder or a device by now is made again. Nothing waits for it.
func TestNotedFilesThatAreNone(t *testing.T) {
	nothing := sha256.Sum256(nil)
	for name, plant := range map[string]func(path string) error{
		"a named pipe":   mkfifo,
		"a folder":       func(path string) error { return os.Mkdir(path, 0o700) },
		"a device":       func(path string) error { return os.Symlink(os.DevNull, path) },
		"a link to none": func(path string) error { return os.Symlink(path+".none", path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j, _ := openJournal(t, dir, "abc")
			picture, temp := filepath.Join(dir, "x.png"), filepath.Join(dir, tempPrefix+"abc-X"+tempSuffix)
			sum := hex.EncodeToString(nothing[:])
			require.NoError(t, j.note(Entry{Key: "0/0", Path: picture, SHA256: sum}))
			require.NoError(t, j.note(Entry{Key: "0/1", Path: filepath.Join(dir, "y.png"), Temp: temp, SHA256: sum}))
			require.NoError(t, j.Close())
			require.NoError(t, plant(picture))
			require.NoError(t, plant(temp))
			inputs := Inputs{}
			done := make(chan error, 1)
			go func() { done <- inputs.AddFile(picture) }()
			j, resumed := openJournal(t, dir, "abc")
			assert.True(t, resumed)
			for _, key := range []string{"0/0", "0/1"} {
				_, ok := j.Find(key)
				assert.False(t, ok, key)
			}
			require.NoError(t, j.Close())
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(time.Minute):
				t.Fatal("it waits")
			}
		})
	}
}

// TestJournalsAreNotTrusted: whatever a journal says, nothing is removed or replaced but this run's own files.
func TestJournalsAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "out"), filepath.Join(dir, "other")
	own := tempPrefix + "abc-X" + tempSuffix
	for name, c := range map[string]struct {
		line    line
		keep    []string // files that hold "data", and stay
		counts  bool     // the entry
		replace bool
	}{
		"a temporary file elsewhere": {line: line{Entry: Entry{Path: mine + "/x.png", Temp: other + "/" + own}},
			keep: []string{mine + "/x.png", other + "/" + own}, counts: true},
		"a temporary file of another name": {line: line{Entry: Entry{Path: mine + "/x.png", Temp: mine + "/precious.txt"}},
			keep: []string{mine + "/x.png", mine + "/precious.txt"}, counts: true},
		"of another run": {line: line{Entry: Entry{Path: mine + "/x.png", Temp: mine + "/" + tempPrefix + "abd-X" + tempSuffix}},
			keep: []string{mine + "/x.png", mine + "/" + tempPrefix + "abd-X" + tempSuffix}, counts: true},
		"above": {line: line{Entry: Entry{Path: mine + "/x.png", Temp: mine + "/../other/" + own}},
			keep: []string{mine + "/x.png", other + "/" + own}, counts: true},
		"a foreign file that became the output": {line: line{Entry: Entry{Path: mine + "/x.png", Temp: mine + "/precious.txt"}},
			keep: []string{mine + "/precious.txt"}},
		"a part that is none": {line: line{Entry: Entry{Path: other + "/precious.txt"}},
			keep: []string{other + "/precious.txt"}, counts: true},
		"a folder elsewhere": {line: line{Folder: other + "/empty"}},
		"the whole folder":   {line: line{Folder: mine}, keep: []string{mine + "/x.png"}},
		"no path":            {line: line{Entry: Entry{Temp: own}}},
		"a negative size":    {line: line{Entry: Entry{Path: mine + "/x.png", Bytes: -1}}, keep: []string{mine + "/x.png"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.RemoveAll(mine))
			require.NoError(t, os.RemoveAll(other))
			require.NoError(t, os.MkdirAll(other+"/empty", 0o700))
			require.NoError(t, os.MkdirAll(mine, 0o700))
			j, _ := openJournal(t, mine, "abc")
			for _, path := range c.keep {
				put(t, path, "data")
			}
			c.line.Key, c.line.SHA256 = "k", dataSum
			if c.line.Bytes == 0 {
				c.line.Bytes = 4
			}
			require.NoError(t, j.append(c.line))
			require.NoError(t, j.Close())

			j, resumed, err := OpenJournal(mine, Run{Fingerprint: "abc", Overwrite: true})
			require.NoError(t, err)
			assert.True(t, resumed)
			_, ok := j.Find("k")
			assert.Equal(t, c.counts, ok)
			j.Sweep(mine)
			j.Drop("k")
			require.NoError(t, j.Remove())
			for _, path := range c.keep {
				assert.Equal(t, "data", contents(t, path))
			}
			assert.DirExists(t, other+"/empty")
		})
	}
}

// TestDamagedJournals cuts, garbles and repeats lines: entries that are left count, files stay, nothing crashes.
func TestDamagedJournals(t *testing.T) {
	dir := t.TempDir()
	w := &Writer{}
	j, _ := openJournal(t, dir, "abc")
	for _, key := range []string{"a", "b", "c"} {
		_, err := w.WriteNoted(j, key, filepath.Join(dir, key+".png"), []byte(key))
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	whole := contents(t, journalName(dir))
	lines := strings.SplitAfter(whole, "\n")
	cases := map[string]string{"twice": whole + lines[1] + lines[2], "garbage between": lines[0] + "{{{\n\x00\xff\n[1]\nnull\n" + lines[1],
		"a very long line": lines[0] + `{"key":"` + strings.Repeat("x", 2<<20) + "\n" + lines[1],
		"another version":  strings.Replace(whole, `"journal":2`, `"journal":1`, 1), "no header": lines[1], "binary": "\x00\x01\x02",
		"wrong types": lines[0] + `{"key":1,"path":[],"bytes":"x"}` + "\n" + lines[1], "empty": ""}
	for n := range whole {
		if n%7 == 0 {
			cases["cut after "+whole[:n]] = whole[:n]
		}
	}
	for name, text := range cases {
		put(t, journalName(dir), text)
		j, resumed := openJournal(t, dir, "abc")
		assert.Equal(t, strings.HasPrefix(text, strings.TrimSuffix(lines[0], "\n")), resumed, "%.200q", name)
		j.Sweep(dir)
		if resumed && strings.Contains(text, lines[1]) {
			_, ok := j.Find("a")
			assert.True(t, ok, "%.200q", name)
		}
		require.NoError(t, j.Remove())
		assert.Equal(t, []string{"a.png", "b.png", "c.png"}, names(t, dir), "%.200q", name)
	}
}

// TestJournalOfOtherInputs: a run whose inputs changed is not continued, and what changed is told.
func TestJournalOfOtherInputs(t *testing.T) {
	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "mask.png"), "one")
	inputs := func() Inputs {
		in := Inputs{"the program": "1"}
		require.NoError(t, in.AddFile(file))
		return in
	}
	run := Run{Fingerprint: "abc", Inputs: inputs(), State: seeds{[]int{1}}}
	j, _, err := OpenJournal(dir, run)
	require.NoError(t, err)
	_, err = new(Writer).WriteNoted(j, "k", filepath.Join(dir, "x.png"), []byte("data"))
	require.NoError(t, err)
	require.NoError(t, new(Writer).mustKeep(j, "k/latents", "part"))
	require.NoError(t, j.Close())

	put(t, file, "one") // written anew, but small and the same
	run.Inputs = inputs()
	j, resumed, err := OpenJournal(dir, run)
	require.NoError(t, err)
	assert.True(t, resumed)
	require.NoError(t, j.Close())

	put(t, file, "two")
	run.Inputs, run.State = inputs(), seeds{[]int{2}}
	j, resumed, err = OpenJournal(dir, run)
	require.NoError(t, err)
	assert.False(t, resumed)
	changed, files := j.Changed()
	assert.Equal(t, []string{file}, changed)
	assert.Equal(t, 2, files)
	assert.True(t, j.Empty())
	assert.NoFileExists(t, j.PartPath("k/latents"), "the earlier run's")
	assert.Equal(t, "data", contents(t, filepath.Join(dir, "x.png")), "its pictures stay")
	require.NoError(t, j.Close())
	j, resumed, err = OpenJournal(dir, run)
	require.NoError(t, err)
	assert.True(t, resumed)
	var s seeds
	require.NoError(t, j.State(&s))
	assert.Equal(t, []int{2}, s.Seeds)
	require.NoError(t, j.Close())
}

// mustKeep writes a part.
func (w *Writer) mustKeep(j *Journal, key, text string) error {
	_, err := w.WriteNoted(j, key, j.PartPath(key), []byte(text))
	return err
}

// TestFoldersOfAKilledRun: a process that is killed in a folder that it has just made leaves neither it nor what is in it to the next one.
func TestFoldersOfAKilledRun(t *testing.T) {
	dir := t.TempDir()
	j, _ := openJournal(t, dir, "abc")
	for _, name := range []string{"1/full/x.png", "1/deep/er/x.png", "2/x.png"} {
		require.NoError(t, j.noteFolders(filepath.Dir(filepath.Join(dir, name))))
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
	}
	put(t, filepath.Join(dir, "1/full/x.png"), "data")
	put(t, filepath.Join(dir, "1/deep/er", j.tempPrefix()+"1"+tempSuffix), "da")
	require.NoError(t, j.Close())
	j, _ = openJournal(t, dir, "abc")
	j.Sweep(dir)
	assert.Equal(t, []string{".daguerre-run-abc.jsonl", "1"}, names(t, dir))
	assert.Equal(t, []string{"full"}, names(t, filepath.Join(dir, "1")))
	require.NoError(t, j.Remove())
}

// TestPartsInAnOddFolder: the folder's name is no pattern.
func TestPartsInAnOddFolder(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "out[1]*")
	if runtime.GOOS == "windows" { // which has no stars in names
		odd = filepath.Join(dir, "out[1-9]")
	}
	require.NoError(t, os.Mkdir(odd, 0o700))
	j, _ := openJournal(t, odd, "abc")
	foreign := put(t, filepath.Join(dir, "out1", filepath.Base(j.Path())+".x.part"), "data")
	require.NoError(t, new(Writer).mustKeep(j, "a/b", "part"))
	require.NoError(t, j.Remove())
	assert.Empty(t, names(t, odd))
	assert.FileExists(t, foreign)
}

// TestLinksAtOutputs: a symbolic link at a picture's name is a name that is taken; with Overwrite the link goes, not what it points to.
func TestLinksAtOutputs(t *testing.T) {
	for _, target := range []string{"victim", "none"} {
		dir := t.TempDir()
		victim := put(t, filepath.Join(dir, "victim"), "precious")
		path := filepath.Join(dir, "x.png")
		require.NoError(t, os.Symlink(filepath.Join(dir, target), path))
		got, err := new(Writer).Write(path, []byte("data"))
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(dir, "x-2.png"), got)
		got, err = (&Writer{Overwrite: true}).Write(path, []byte("data"))
		require.NoError(t, err)
		assert.Equal(t, path, got)
		assert.Equal(t, "data", contents(t, path))
		assert.Equal(t, "precious", contents(t, victim))
		assert.NoFileExists(t, filepath.Join(dir, "none"))
		st, err := os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, st.Mode().IsRegular())
	}
}

func FuzzJournal(f *testing.F) {
	head, err := json.Marshal(journalHeader{Version: journalVersion, Fingerprint: "abc", State: []byte("null")})
	require.NoError(f, err)
	f.Add(string(head) + "\n" + `{"key":"a","path":"x.png","temp":"y","sha256":"` + dataSum + `","bytes":4}`)
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		kept := put(t, filepath.Join(dir, "x.png"), "data")
		put(t, journalName(dir), text)
		t.Chdir(dir)
		j, _, err := OpenJournal(dir, Run{Fingerprint: "abc", Overwrite: true})
		if err != nil {
			return
		}
		j.Sweep(dir)
		require.NoError(t, j.Remove())
		assert.Equal(t, "data", contents(t, kept))
	})
}
