package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// maxEntry is larger than any file of the cache.
const maxEntry = 256 << 10

// path names a file of the cache: one for each device, driver, build and type.
func (t *Tuner) path(d backend.Device, typ backend.Type, extension string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{d.Description, d.Driver, t.Build, string(typ)}, "\x00")))
	return filepath.Join(t.Dir, "tuning", hex.EncodeToString(sum[:8])+extension)
}

// Load returns what the cache knows of a device. A file that is damaged, or of another device, driver or build, is as none.
func (t *Tuner) Load(d backend.Device, typ backend.Type) (Report, bool) {
	var r Report
	if t.Dir == "" {
		return r, false
	}
	data, err := regular.ReadFile(t.path(d, typ, ".json"), maxEntry)
	if err != nil {
		return r, false
	}
	if err := json.Unmarshal(data, &r); err != nil || !r.of(d, t.Build, typ) {
		t.Log.Warn("what was measured of the device cannot be used; it is measured again", "device", d.ID, "file", t.path(d, typ, ".json"))
		return Report{}, false
	}
	return r, true
}

// of reports whether a report is of a device, and whole: what is chosen is among the candidates that work.
func (r Report) of(d backend.Device, build string, typ backend.Type) bool {
	if r.Schema != schema || r.Device != d.Description || r.Driver != d.Driver || r.Build != build || r.Type != string(typ) {
		return false
	}
	chosen := map[string]string{}
	for _, c := range r.Candidates {
		if c.Chosen {
			if c.Status != OK {
				return false
			}
			chosen[c.Setting] = c.Value
		}
	}
	tile := ""
	if r.Choices.TileSize > 0 {
		tile = fmt.Sprint(r.Choices.TileSize)
	}
	return chosen["convolution"] == r.Choices.Convolution && chosen["attention"] == r.Choices.Attention &&
		chosen["guidance"] == r.Choices.Guidance && chosen["vae_tile_size"] == tile && len(r.Candidates) > 0
}

func (t *Tuner) store(d backend.Device, typ backend.Type, r Report) error {
	if t.Dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return t.write(t.path(d, typ, ".json"), data)
}

func (t *Tuner) write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return (&output.Writer{}).Replace(path, data)
}

// running is what a process writes down before it tries a candidate. If the program ends then, the next one finds it.
type running struct {
	PID     int    `json:"pid"`
	Setting string `json:"setting"`
	Value   string `json:"value"`
}

func (t *Tuner) begin(d backend.Device, typ backend.Type, c Candidate) error {
	if t.Dir == "" {
		return nil
	}
	data, err := json.Marshal(running{os.Getpid(), c.Setting, c.Value})
	if err != nil {
		return err
	}
	return t.write(t.path(d, typ, ".running"), data)
}

func (t *Tuner) end(d backend.Device, typ backend.Type) {
	if t.Dir != "" {
		_ = os.Remove(t.path(d, typ, ".running")) // what stays is measured again
	}
}

// interrupted returns the candidate that an earlier process was trying when it ended; nil: none. ErrBusy: that process lives.
func (t *Tuner) interrupted(d backend.Device, typ backend.Type) (*Candidate, error) {
	if t.Dir == "" {
		return nil, nil
	}
	data, err := regular.ReadFile(t.path(d, typ, ".running"), maxEntry)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var r running
	if err != nil || json.Unmarshal(data, &r) != nil {
		return nil, nil
	}
	if r.PID != os.Getpid() && alive(r.PID) {
		return nil, fmt.Errorf("%w: process %d", ErrBusy, r.PID)
	}
	return &Candidate{Setting: r.Setting, Value: r.Value}, nil
}

// alive reports whether a process is there. Windows finds only those that are.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }()
	return runtime.GOOS == "windows" || !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
