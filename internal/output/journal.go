package output

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// ErrBusy is the error of OpenJournal where another process holds the journal.
var ErrBusy = errors.New("another process writes this journal")

// journalVersion is that of the file's format.
const journalVersion = 2

// Journal remembers which files of a run are complete on disk. So a run that was killed can be continued. A journal is a file of JSON
// lines. Before a file gets its name, an entry notes the name and a hash of the contents. Later the entry counts if the file, or its
// temporary file, has these contents. So nothing is lost if the process dies between the two steps. Lines without a meaning are skipped,
// also a last line that was cut off. Only one process at a time holds a journal. It is safe for concurrent use.
//
// A journal is not trusted. Because of a journal, only files with this run's own names are removed or replaced: temporary files beside
// outputs, and parts beside the journal.
type Journal struct {
	path      string
	id        string
	overwrite bool

	mu      sync.Mutex
	f       *os.File
	state   json.RawMessage
	entries map[string]Entry // of an earlier holder, and this one's with a PartPath
	made    []string         // folders that were made for the journal
	folders []string         // made by an earlier holder or by this one
	noted   int              // by this one
	changed []string
	lost    int
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

// line is one of the file's: an entry, or a folder that will be made.
type line struct {
	Entry
	Folder string `json:"folder,omitempty"`
}

type journalHeader struct {
	Version     int             `json:"journal"`
	Fingerprint string          `json:"fingerprint"`
	Inputs      Inputs          `json:"inputs"`
	State       json.RawMessage `json:"state"`
}

// Run is what a journal is of.
type Run struct {
	Fingerprint string // of what was asked
	Inputs      Inputs // what that depends on
	State       any    // what a new journal is to remember
	Overwrite   bool   // the run may replace files
	Fresh       bool   // an earlier run is not continued
}

// OpenJournal opens or makes the journal of a run in a folder; it makes the folder if necessary. If there is an earlier journal with equal
// inputs, it returns its state and keeps the entries whose files have not changed. An earlier journal with other inputs is not continued;
// see Changed. A new journal gets the given state.
func OpenJournal(dir string, run Run) (j *Journal, resumed bool, err error) {
	id := run.Fingerprint[:min(12, len(run.Fingerprint))]
	path := filepath.Join(dir, ".daguerre-run-"+id+".jsonl")
	made := missingFolders(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, false, err
	}
	f, err := openOwn(path)
	if err != nil {
		return nil, false, err
	}
	j = &Journal{path: path, id: id, overwrite: run.Overwrite, f: f, made: made, entries: map[string]Entry{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.f.Close())
		}
	}()
	if resumed, err = j.read(run); err != nil || resumed {
		return j, resumed, err
	}
	j.dropParts()
	if j.state, err = json.Marshal(run.State); err != nil {
		return nil, false, err
	}
	return j, false, j.replace(journalHeader{journalVersion, run.Fingerprint, run.Inputs, j.state})
}

// read reads an earlier journal. It returns false if there is none that can be continued.
func (j *Journal) read(run Run) (bool, error) {
	data, err := readAll(j.f)
	if err != nil {
		return false, err
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var head journalHeader
	if json.Unmarshal(first, &head) != nil || head.Version != journalVersion || head.Fingerprint != run.Fingerprint {
		return false, nil
	}
	j.state = head.State
	for text := range bytes.Lines(rest) {
		j.take(text)
	}
	if changed := run.Inputs.Changed(head.Inputs); run.Fresh || len(changed) > 0 {
		j.changed, j.lost = changed, len(j.entries)
		clear(j.entries)
		return false, nil
	}
	for key, e := range j.entries {
		if !j.settle(e) {
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

// take uses a line of an earlier journal, but only the parts that are safe to believe.
func (j *Journal) take(text []byte) {
	var l line
	if json.Unmarshal(text, &l) != nil {
		return
	}
	if l.Folder != "" {
		j.folders = append(j.folders, l.Folder)
		return
	}
	if l.Key == "" || l.Path == "" || l.Bytes < 0 {
		return
	}
	if !j.isTemp(l.Temp, l.Path) {
		l.Temp = "" // not a file of this run
	}
	j.entries[l.Key] = l.Entry
}

// settle makes sure that an entry's file is there, giving it its name if that was still to be done.
func (j *Journal) settle(e Entry) bool {
	if e.matches(e.Path) {
		if e.Temp != "" {
			_ = os.Remove(e.Temp) // the second name of the same file, where the process was killed in between
		}
		return true
	}
	if e.Temp == "" || !e.matches(e.Temp) {
		return false
	}
	if !e.Replace || !j.overwrite {
		return moveNew(e.Temp, e.Path) == nil && removed(e.Temp) // otherwise another process has taken the name
	}
	return rename.Replace(e.Temp, e.Path) == nil
}

// removed removes the first name of a file that has two.
func removed(path string) bool {
	_ = os.Remove(path)
	return true
}

// matches reports whether a file has the contents noted.
func (e Entry) matches(path string) bool {
	f, info, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info.Size() != e.Bytes {
		return false
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, e.Bytes+1)); err != nil {
		return false
	}
	return hex.EncodeToString(sum.Sum(nil)) == e.SHA256
}

// Changed lists the inputs that differ from those of an earlier run of the same kind. That run is not continued. files is the number of its
// entries.
func (j *Journal) Changed() (names []string, files int) { return j.changed, j.lost }

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

// Drop removes a file of PartPath.
func (j *Journal) Drop(key string) {
	if e, ok := j.Find(key); ok && j.isPart(e.Path) {
		_ = os.Remove(e.Path)
	}
}

// noteFolders notes the missing folders of a path, before they are made.
func (j *Journal) noteFolders(dir string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, missing := range missingFolders(dir) {
		if slices.Contains(j.folders, missing) {
			continue
		}
		if err := j.append(line{Folder: missing}); err != nil {
			return err
		}
		j.folders = append(j.folders, missing)
	}
	return nil
}

// note writes an entry.
func (j *Journal) note(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(e); err != nil {
		return err
	}
	j.noted++
	if j.isPart(e.Path) { // it is dropped before the end
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

// Sweep removes half-written files of an earlier holder of the journal: in the given folders, and in the folders that it made below them.
// It removes those of the latter that are empty.
func (j *Journal) Sweep(roots ...string) {
	for _, dir := range roots {
		j.sweep(dir)
	}
	for _, dir := range slices.Backward(j.folders) { // the deepest first
		if slices.ContainsFunc(roots, func(root string) bool { return below(dir, root) }) {
			j.sweep(dir)
			_ = os.Remove(dir) // unless there is something in it
		}
	}
}

func (j *Journal) sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); j.isTemp(path, path) && e.Type().IsRegular() && path != j.f.Name() {
			_ = os.Remove(path)
		}
	}
}

// below reports whether a folder lies in another, by their names.
func below(dir, root string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

func (j *Journal) tempPrefix() string { return tempPrefix + j.id + "-" }

// Close lets go of the journal; the run can be continued later.
func (j *Journal) Close() error { return j.f.Close() }

// Remove removes the journal of a run that is complete or has made nothing. It also removes the files of PartPath, and the folders that
// were made for the journal, if they are empty.
func (j *Journal) Remove() error {
	j.dropParts()
	err := discard(j.f, j.path)
	for _, dir := range slices.Backward(j.made) {
		_ = os.Remove(dir) // unless there is something in it
	}
	return err
}
