package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// Report is what gpu-check writes as JSON, and in words as Markdown.
type Report struct {
	Schema    int            `json:"schema"`
	Date      string         `json:"date"`
	Rehearsal bool           `json:"rehearsal"` // with nano and small pictures
	Device    backend.Device `json:"device"`
	Library   string         `json:"library"`
	Machine   string         `json:"machine"`
	Model     string         `json:"model,omitempty"` // that was timed
	Chosen    string         `json:"chosen,omitempty"`
	Choices   *tune.Report   `json:"choices,omitempty"`
	Graphs    []Graph        `json:"graphs,omitempty"`
	Fidelity  []Fidelity     `json:"fidelity,omitempty"`
	Speed     []Speed        `json:"speed,omitempty"`
	Memory    []Memory       `json:"memory,omitempty"`
	Goldens   Goldens        `json:"goldens"`
	Sections  []Section      `json:"sections"`
	NotRun    []string       `json:"not_run,omitempty"`
	Failures  []string       `json:"failures,omitempty"`
	Seconds   float64        `json:"seconds"`
}

// Graph says whether a full-size graph is on the device.
type Graph struct {
	Name        string              `json:"name"`
	Nodes       int                 `json:"nodes"`
	Unsupported []backend.NodeGroup `json:"unsupported,omitempty"`
}

// Fidelity is a picture of the embedded model against the CPU's in exact precision.
type Fidelity struct {
	Precision string  `json:"precision"`
	PSNR      float64 `json:"psnr"` // dB; 99: equal
	Least     float64 `json:"least"`
	Seconds   float64 `json:"seconds"` // with opening the model
}

// Speed is a step: one evaluation of the UNet on two rows.
type Speed struct {
	Name    string  `json:"name"`
	Size    int     `json:"size"` // pixels a side
	Seconds float64 `json:"seconds"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	Rounds  int     `json:"rounds"`
}

// Memory is a run's plan against what it took, in bytes.
type Memory struct {
	Type    string `json:"type"`
	Size    int    `json:"size"`
	Planned int64  `json:"planned"`         // on the device
	Taken   int64  `json:"taken,omitempty"` // on the device, at most
	By      string `json:"by,omitempty"`    // who told so
	Process int64  `json:"process"`         // the process's peak on the host, in which a software device's memory is, too
}

// off is how far a plan is off, in words.
func (m Memory) off() string {
	if m.Taken == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", 100*(float64(m.Planned)/float64(m.Taken)-1))
}

// Goldens are the tests against diffusers' goldens.
type Goldens struct {
	Passed []string `json:"passed,omitempty"`
	Failed []string `json:"failed,omitempty"`
}

// Section is how long a part of the report took.
type Section struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

func newReport(c *check) Report {
	return Report{Schema: 1, Date: time.Now().UTC().Format(time.RFC3339), Rehearsal: c.rehearse, Device: c.found, Library: c.backend.Build(),
		Machine: fmt.Sprintf("%s/%s, %d threads", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
}

// round keeps four digits.
func round(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	unit := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*unit) / unit
}

// write writes both reports.
func (c *check) write() error {
	c.report.Seconds = round(time.Since(c.clock.began).Seconds())
	if err := tool.WriteJSON(filepath.Join(c.out, "gpu-check.json"), c.report); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.out, "gpu-check.md"), []byte(c.report.Markdown()), 0o644)
}

// Markdown is the report in words.
func (r Report) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	table := func(columns ...string) {
		line("\n| %s |\n|%s", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	}
	line("# %s: %s", r.Device.ID, r.Device.Description)
	if r.Rehearsal {
		line("\nA rehearsal with the nano model and small pictures: it shows that the check works, and nothing of the device's speed.")
	}
	line("\n%s; driver: %s; library: %s; %s; %.0f s in all.", r.Date, orNone(r.Device.Driver), r.Library, r.Machine, r.Seconds)
	if r.Choices != nil {
		line("\n## Ways of computing\n\nChosen: %s.", r.Chosen)
		table("setting", "value", "ms", "from the CPU", "")
		for _, k := range r.Choices.Candidates {
			note := string(k.Status) + " " + k.Reason
			if k.Status == tune.OK {
				note = map[bool]string{true: "chosen"}[k.Chosen]
			}
			line("| %s | %s | %.4g | %.2g | %s |", k.Setting, k.Value, 1000*k.Seconds, k.Error, note)
		}
	}
	if len(r.Graphs) > 0 {
		line("\n## Full-size graphs")
		table("graph", "nodes", "without a kernel on the device")
		for _, g := range r.Graphs {
			var off []string
			for _, n := range g.Unsupported {
				off = append(off, fmt.Sprintf("%d %s (%s, up to %s)", n.Count, n.Op, n.Operands, words.Bytes(n.LargestBytes)))
			}
			line("| %s | %d | %s |", g.Name, g.Nodes, orNone(strings.Join(off, ", ")))
		}
	}
	if len(r.Fidelity) > 0 {
		line("\n## Pictures against the CPU's in exact precision")
		table("precision", "PSNR, dB", "at least", "s")
		for _, f := range r.Fidelity {
			line("| %s | %.1f | %.0f | %.4g |", f.Precision, f.PSNR, f.Least, f.Seconds)
		}
	}
	r.speedTable(line, table)
	if len(r.Memory) > 0 {
		line("\n## Memory of %s, MiB", r.Device.ID)
		table("type", "px", "planned", "taken", "off", "by", "the process's peak")
		for _, m := range r.Memory {
			line("| %s | %d | %d | %d | %s | %s | %d |", m.Type, m.Size, m.Planned>>20, m.Taken>>20, m.off(), m.By, m.Process>>20)
		}
	}
	if n := len(r.Goldens.Passed) + len(r.Goldens.Failed); n > 0 {
		line("\n## Goldens\n\n%d of %d tests against diffusers' goldens pass on the device. Failed: %s.", len(r.Goldens.Passed), n,
			orNone(strings.Join(r.Goldens.Failed, ", ")))
	}
	line("\n## Not run, and failures\n")
	for _, n := range r.NotRun {
		line("- not run: %s", n)
	}
	for _, f := range r.Failures {
		line("- failed: %s", f)
	}
	if len(r.NotRun)+len(r.Failures) == 0 {
		line("Nothing.")
	}
	return b.String()
}

// speedTable compares steps with the fastest of PyTorch's.
func (r Report) speedTable(line func(string, ...any), table func(...string)) {
	if len(r.Speed) == 0 {
		return
	}
	best := map[int]float64{}
	for _, s := range r.Speed {
		if strings.HasPrefix(s.Name, "torch") && (best[s.Size] == 0 || s.Seconds < best[s.Size]) {
			best[s.Size] = s.Seconds
		}
	}
	line("\n## A step: the UNet of %s on two rows, in turns", r.Model)
	table("", "px", "s, median", "(lowest to highest)", "rounds", "of PyTorch's fastest")
	for _, s := range r.Speed {
		share := ""
		if best[s.Size] > 0 {
			share = fmt.Sprintf("%.2f", s.Seconds/best[s.Size])
		}
		line("| %s | %d | %.4g | %.4g to %.4g | %d | %s |", s.Name, s.Size, s.Seconds, s.Lowest, s.Highest, s.Rounds, share)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
