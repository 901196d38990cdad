package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/words"
)

// ErrIncomparable is matched by the error of Compare for reports that were measured in different ways.
var ErrIncomparable = errors.New("the reports cannot be compared")

// Thresholds say what counts as a change. Times have to pass both: beyond Time, and significant at Alpha.
type Thresholds struct {
	Time   float64 // share of the old value
	Memory float64 // share of the old value
	PSNR   float64 // dB
	Right  float64 // share of all pictures that the checker finds right
	Alpha  float64 // of the Mann-Whitney U test
}

// DefaultThresholds are what bench compare takes.
var DefaultThresholds = Thresholds{Time: 0.10, Memory: 0.05, PSNR: 1, Right: 0.02, Alpha: 0.05}

// verdict says what became of a figure.
type verdict string

// The verdicts.
const (
	Same    verdict = "~"
	better  verdict = "better"
	worse   verdict = "worse"
	Unknown verdict = "?" // too few measurements to tell
)

// Change is one figure of one case in two reports.
type Change struct {
	Key     string   `json:"key"`
	Metric  string   `json:"metric"`
	Unit    string   `json:"unit"` // "s", "B", "dB", "pictures"
	Old     float64  `json:"old"`
	New     float64  `json:"new"`
	Delta   float64  `json:"delta"`       // share of the old value; in Unit for dB and pictures
	P       *float64 `json:"p,omitempty"` // of times
	N       [2]int   `json:"n"`           // measurements
	Verdict verdict  `json:"verdict"`
}

// Comparison is what Compare found.
type Comparison struct {
	Changes []Change `json:"changes"`
	Notes   []string `json:"notes"`
}

// Regressions counts what became worse.
func (c *Comparison) Regressions() int {
	n := 0
	for _, x := range c.Changes {
		if x.Verdict == worse {
			n++
		}
	}
	return n
}

// Compare holds the cases of two reports that have the same key against each other.
func Compare(before, after *Report, t Thresholds) (*Comparison, error) {
	a, b := before.Settings, after.Settings
	switch {
	case a.Steps != b.Steps || a.Guidance != b.Guidance:
		return nil, fmt.Errorf("%w: %d steps with guidance %g, and %d with %g; measure both the same way",
			ErrIncomparable, a.Steps, a.Guidance, b.Steps, b.Guidance)
	case !slices.Equal(a.Prompts, b.Prompts):
		return nil, fmt.Errorf("%w: their prompts or seeds differ; measure both the same way", ErrIncomparable)
	}
	c := &Comparison{Changes: []Change{}, Notes: []string{}}
	c.notes(before, after)
	common := 0
	for i := range before.Results {
		o := &before.Results[i]
		j := slices.IndexFunc(after.Results, func(r Result) bool { return r.Key == o.Key })
		if j < 0 {
			c.Notes = append(c.Notes, o.Key+" is in the first report only")
			continue
		}
		common++
		c.compare(o, &after.Results[j], t)
	}
	for _, n := range after.Results {
		if !slices.ContainsFunc(before.Results, func(r Result) bool { return r.Key == n.Key }) {
			c.Notes = append(c.Notes, n.Key+" is in the second report only")
		}
	}
	if common == 0 {
		return nil, fmt.Errorf("%w: they have no case in common", ErrIncomparable)
	}
	return c, nil
}

func (c *Comparison) notes(before, after *Report) {
	m, n := before.Machine, after.Machine
	if m.CPU != n.CPU || m.Cores != n.Cores || m.MemoryBytes != n.MemoryBytes {
		c.Notes = append(c.Notes, fmt.Sprintf("the machines differ: %s with %d cores and %s, and %s with %d and %s",
			m.CPU, m.Cores, words.Measured(m.MemoryBytes), n.CPU, n.Cores, words.Measured(n.MemoryBytes)))
	}
	if before.Settings.Processes != after.Settings.Processes {
		c.Notes = append(c.Notes, "only one report has a process for each session: their resident memory cannot be compared")
	}
	for i, r := range []*Report{before, after} {
		if r.Build.Modified {
			c.Notes = append(c.Notes, fmt.Sprintf("the %s report is of a source with uncommitted changes", []string{"first", "second"}[i]))
		}
	}
}

func (c *Comparison) compare(o, n *Result, t Thresholds) {
	switch {
	case o.Error != "" && n.Error != "":
		return
	case o.Error != "" || n.Error != "":
		x := Change{Key: o.Key, Metric: "measured", Unit: "cases", Old: 1, Delta: -1, Verdict: worse}
		if o.Error != "" {
			x.Old, x.New, x.Delta, x.Verdict = 0, 1, 1, better
		}
		c.Changes = append(c.Changes, x)
		return
	}
	for _, m := range []struct {
		name     string
		old, new []float64
	}{
		{"load", o.Samples.Load, n.Samples.Load}, {"text", o.Samples.Text, n.Samples.Text}, {"step", o.Samples.Step, n.Samples.Step},
		{"decode", o.Samples.Decode, n.Samples.Decode}, {"image", o.Samples.Image, n.Samples.Image},
	} {
		if len(m.old) > 0 && len(m.new) > 0 {
			c.Changes = append(c.Changes, compareTimes(o.Key, m.name, m.old, m.new, t))
		}
	}
	for _, m := range []struct {
		name     string
		old, new int64
	}{
		{"peak rss", o.PeakRSS, n.PeakRSS}, {"device memory", o.DeviceBytes, n.DeviceBytes},
		{"native memory", o.NativeBytes, n.NativeBytes}, {"file", o.FileBytes, n.FileBytes},
	} {
		if m.old > 0 && m.new > 0 {
			x := Change{Key: o.Key, Metric: m.name, Unit: "B", Old: float64(m.old), New: float64(m.new), N: [2]int{1, 1}}
			x.Delta = share(x.Old, x.New)
			x.Verdict = judge(x.Delta, t.Memory)
			c.Changes = append(c.Changes, x)
		}
	}
	// worth compares what is better the higher it is, in units of scale.
	worth := func(metric, unit string, before, after float64, pictures [2]int, scale, threshold float64) {
		x := Change{Key: o.Key, Metric: metric, Unit: unit, Old: before, New: after, N: pictures, Delta: after - before}
		x.Verdict = judge(-x.Delta/scale, threshold)
		c.Changes = append(c.Changes, x)
	}
	if a, b := o.Quality, n.Quality; a != nil && b != nil && a.Reference == b.Reference {
		worth("worst PSNR", "dB", a.PSNRWorst, b.PSNRWorst, [2]int{a.Pictures, b.Pictures}, 1, t.PSNR)
	}
	if a, b := o.Checked, n.Checked; a != nil && b != nil && a.Pictures == b.Pictures {
		worth("right", "pictures", float64(a.Right), float64(b.Right), [2]int{a.Pictures, b.Pictures}, float64(a.Pictures), t.Right)
	}
}

// judge is the verdict for a figure that is worse by so much.
func judge(loss, threshold float64) verdict {
	switch {
	case loss > threshold:
		return worse
	case loss < -threshold:
		return better
	}
	return Same
}

func compareTimes(key, metric string, before, after []float64, t Thresholds) Change {
	x := Change{Key: key, Metric: metric, Unit: "s", Old: summarize(before).Median, New: summarize(after).Median,
		N: [2]int{len(before), len(after)}}
	x.Delta = share(x.Old, x.New)
	p, enough := difference(before, after, t.Alpha)
	x.P = &p
	x.Verdict = judge(x.Delta, t.Time)
	switch {
	case x.Verdict == Same:
	case !enough:
		x.Verdict = Unknown
	case p > t.Alpha:
		x.Verdict = Same
	}
	return x
}

func share(before, after float64) float64 {
	switch {
	case before != 0:
		return after/before - 1
	case after == 0:
		return 0
	}
	return math.Copysign(1, after)
}
