package output

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// ErrBusy is the error of OpenJournal where another process holds the journal.
var ErrBusy = errors.New("another process writes this journal")

// journalVersion is that of the file's format.
const journalVersion = 1

// Journal remembers what of a run is complete on disk, so that a run which was killed can be continued. It is a file of JSON lines beside
// the outputs: who wants to place a file first notes where it is and what is in it, so that nothing is lost between the note and the file:
// an entry counts if its file, or the temporary file that was to become it, is there with the contents noted. A last line that was cut off
// is passed over. Only one process at a time holds a journal. It is safe for concurrent use.
type Journal struct {
	path string
	id   string

	mu      sync.Mutex
	f       *os.File
	state   json.RawMessage
	entries map[string]Entry // of an earlier holder, and this one's with a PartPath
	noted   int              // by this one
}

// Entry is a file that is complete.
type Entry struct {
	Key    string `json:"key"`            // of the caller, such as "1/3"
	Path   string `json:"path"`           // where it is
	Temp   string `json:"temp,omitempty"` // where it was before it got its name
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`

	Replace bool `json:"replace,omitempty"` // a file at Path that has other contents
}

type journalHeader struct {
	Version     int             `json:"journal"`
	Fingerprint string          `json:"fingerprint"`
	State       json.RawMessage `json:"state"`
}

// OpenJournal opens or makes the journal of the run with a fingerprint in a folder. Of an earlier one it returns the state, and keeps the
// entries whose files are still what they were; what it left half-written is removed. A new journal gets the given state.
func OpenJournal(dir, fingerprint string, state any) (j *Journal, resumed bool, err error) {
	id := fingerprint[:min(12, len(fingerprint))]
	path := filepath.Join(dir, ".daguerre-run-"+id+".jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := lockFile(f); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, ErrBusy)
	}
	j = &Journal{path: path, id: id, f: f, entries: map[string]Entry{}}
	if resumed, err = j.read(fingerprint); err != nil || resumed {
		return j, resumed, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	if j.state, err = json.Marshal(state); err != nil {
		return nil, false, err
	}
	return j, false, j.append(journalHeader{journalVersion, fingerprint, j.state})
}

// read reads an earlier journal. It reports false where there is none, or one that says nothing.
func (j *Journal) read(fingerprint string) (bool, error) {
	data, err := io.ReadAll(j.f)
	if err != nil {
		return false, err
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var head journalHeader
	if json.Unmarshal(first, &head) != nil || head.Version != journalVersion || head.Fingerprint != fingerprint {
		return false, nil
	}
	j.state = head.State
	lines := bufio.NewScanner(bytes.NewReader(rest))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Key != "" {
			j.entries[e.Key] = e
		}
	}
	for key, e := range j.entries {
		if !e.settle() {
			delete(j.entries, key)
		}
	}
	if len(data) > 0 && data[len(data)-1] != '\n' { // cut off in the middle of a line
		if _, err := j.f.Write([]byte("\n")); err != nil {
			return false, err
		}
	}
	return true, nil
}

// settle makes sure that an entry's file is there, giving it its name if that was still to be done.
func (e Entry) settle() bool {
	if e.matches(e.Path) {
		if e.Temp != "" {
			_ = os.Remove(e.Temp) // the second name of the same file, where the process was killed in between
		}
		return true
	}
	if e.Temp == "" || !e.matches(e.Temp) {
		return false
	}
	if _, err := os.Lstat(e.Path); err == nil && !e.Replace {
		return false // somebody else's by now
	}
	return os.Rename(e.Temp, e.Path) == nil
}

func (e Entry) matches(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() != e.Bytes {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == e.SHA256
}

// State decodes what the journal was made with.
func (j *Journal) State(v any) error { return json.Unmarshal(j.state, v) }

// Path is the journal's file.
func (j *Journal) Path() string { return j.path }

// Find returns the entry of a key that an earlier holder noted, or this one with a PartPath.
func (j *Journal) Find(key string) (Entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.entries[key]
	return e, ok
}

// Paths lists the files of the entries.
func (j *Journal) Paths() (paths []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		paths = append(paths, e.Path)
	}
	return paths
}

// PartPath names a file that Remove removes with the journal.
func (j *Journal) PartPath(key string) string {
	return j.path + "." + strings.ReplaceAll(key, "/", "-") + ".part"
}

// Empty reports whether there is nothing that could be continued.
func (j *Journal) Empty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries)+j.noted == 0
}

// note writes an entry.
func (j *Journal) note(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(e); err != nil {
		return err
	}
	j.noted++
	if strings.HasPrefix(e.Path, j.path+".") { // of PartPath: it is dropped before the end
		j.entries[e.Key] = e
	}
	return nil
}

// append writes a line and has it reach the disk.
func (j *Journal) append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.f.Write(append(line, '\n')); err != nil {
		return err
	}
	return j.f.Sync()
}

// Sweep removes the temporary files that an earlier holder of the journal left in a folder.
func (j *Journal) Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), j.tempPrefix()) && strings.HasSuffix(e.Name(), tempSuffix) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func (j *Journal) tempPrefix() string { return tempPrefix + j.id + "-" }

// Close lets go of the journal; the run can be continued later.
func (j *Journal) Close() error { return j.f.Close() }

// Remove ends the journal of a run that is complete, and removes files whose names begin with the journal's and a point.
func (j *Journal) Remove() error {
	parts, _ := filepath.Glob(j.path + ".*") // the pattern is a good one
	for _, p := range parts {
		_ = os.Remove(p)
	}
	return errors.Join(os.Remove(j.path), j.f.Close())
}

// Fingerprint is a short name for values: equal ones in the same order have equal names.
func Fingerprint(values ...any) (string, error) {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
