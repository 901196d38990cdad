package progress

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Profile tells where the time of all jobs went.
type Profile struct {
	Operations []Operation `json:"operations"`
}

// Operation is what one operation took in one module of one stage.
type Operation struct {
	Stage      string  `json:"stage"`
	Module     string  `json:"module"`
	Op         string  `json:"op"`
	Calls      int64   `json:"calls"`
	Seconds    float64 `json:"seconds"`
	Operations float64 `json:"operations"` // multiplications and additions; 0 where they are not counted
}

// moduleDepth is how much of a module's name the table by modules keeps: "down_blocks.1.attentions.0".
const moduleDepth = 4

// String makes two tables for each stage: by operation and by module, the longest first.
func (p Profile) String() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, stage := range p.stages() {
		total := 0.0
		for _, o := range p.Operations {
			if o.Stage == stage {
				total += o.Seconds
			}
		}
		fmt.Fprintf(t, "%s\tcalls\tseconds\tshare\tGFLOP/s\t\n", stage)
		for _, by := range []func(Operation) string{
			func(o Operation) string { return o.Op },
			func(o Operation) string { return upToDepth(o.Module) },
		} {
			for _, row := range p.sum(stage, by) {
				speed := ""
				if row.Operations > 0 {
					speed = fmt.Sprintf("%.0f", row.Operations/row.Seconds/1e9)
				}
				fmt.Fprintf(t, "%s\t%d\t%.3f\t%.1f %%\t%s\t\n", row.Op, row.Calls, row.Seconds, 100*row.Seconds/total, speed)
			}
			fmt.Fprint(t, "\t\t\t\t\t\n")
		}
	}
	_ = t.Flush() // into memory
	return strings.TrimRight(b.String(), " \n") + "\n"
}

// stages lists the stages in the order of their first appearance.
func (p Profile) stages() (out []string) {
	for _, o := range p.Operations {
		if !slices.Contains(out, o.Stage) {
			out = append(out, o.Stage)
		}
	}
	return out
}

// sum adds up a stage's entries by what key makes of them, which becomes Op.
func (p Profile) sum(stage string, key func(Operation) string) []Operation {
	sums := map[string]Operation{}
	for _, o := range p.Operations {
		if o.Stage != stage {
			continue
		}
		s := sums[key(o)]
		s.Op = key(o)
		s.Calls, s.Seconds, s.Operations = s.Calls+o.Calls, s.Seconds+o.Seconds, s.Operations+o.Operations
		sums[s.Op] = s
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b Operation) int {
		return cmp.Or(-cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.Op, b.Op))
	})
}

// upToDepth is the beginning of a module's name.
func upToDepth(module string) string {
	parts := strings.Split(module, ".")
	return cmp.Or(strings.Join(parts[:min(len(parts), moduleDepth)], "."), "(before any weight)")
}
