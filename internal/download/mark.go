package download

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/internal/rename"
)

// mark tells which file a part belongs to, and which bytes of it are there.
type mark struct {
	URL       string `json:"url"`       // as people see it
	Validator string `json:"validator"` // ETag or Last-Modified, for If-Range; "": it cannot be continued
	Size      int64  `json:"size"`      // of the whole file; 0: unknown
	Whole     bool   `json:"whole"`     // the part is the file
	Done      spans  `json:"done"`
}

func markFile(part string) string { return part + ".json" }

func (f *File) markFile() string { return markFile(f.Part) }

// readMark reads the mark; what cannot be read belongs to nothing.
func (f *File) readMark() (m mark) {
	m = loadMark(f.Part)
	if m.URL != Shown(f.URL) || !m.Done.ordered() {
		return mark{}
	}
	st, err := os.Stat(f.Part)
	if err != nil || m.Done.end() > st.Size() || m.Whole && m.Size != st.Size() {
		return mark{}
	}
	return m
}

// Have is how many bytes of a part came before; 0 where nothing can go on from it.
func Have(part string) int64 {
	m := loadMark(part)
	if m.Validator == "" && !m.Whole {
		return 0
	}
	return m.Done.total()
}

// loadMark reads the mark of a part; an empty one where there is none, or it cannot be read.
func loadMark(part string) (m mark) {
	data, err := os.ReadFile(markFile(part))
	if err != nil || json.Unmarshal(data, &m) != nil {
		return mark{}
	}
	return m
}

// writeMark writes the mark in one step: a process that is killed leaves the old one or the new one.
func (f *File) writeMark(m mark) error {
	m.URL = Shown(f.URL)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tmp := f.markFile() + ".new"
	if err = os.WriteFile(tmp, data, 0o644); err == nil {
		err = rename.Replace(tmp, f.markFile())
	}
	if err != nil {
		return NoRoom(err, m.Size)
	}
	return nil
}

// Discard forgets what came.
func (f *File) Discard() {
	_ = os.Remove(f.markFile()) // first: a part without a mark is not continued
	_ = os.Remove(f.markFile() + ".new")
	_ = os.Remove(f.Part)
}

// Forget removes the mark of a part that got its name.
func (f *File) Forget() {
	_ = os.Remove(f.markFile())
	_ = os.Remove(f.markFile() + ".new")
}

// validator is what If-Range takes: a strong ETag, else the time of the last change; "" for none.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}
