package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// plan prints what the run would take. What does not fit is an error, after the table as far as there is one.
func (o generateOptions) plan(ctx context.Context, env Env) error {
	if env.Plan == nil {
		return errors.New("this build cannot plan")
	}
	var r progress.Reporter = progress.Discard{}
	if !o.json {
		r = o.reporter(env, "")
	}
	if o.tellFound(r); o.table != nil && o.group == nil {
		r.Close()
		return o.planTable(ctx, env)
	}
	err := o.locate(ctx, env, r)
	if r.Close(); err != nil {
		return err
	}
	plan, err := env.Plan(ctx, service.PlanOf(o.run.Model), o.run.Jobs)
	if err != nil && !errors.Is(err, memory.ErrOverBudget) {
		return explain(o.inWords(-1, blameInput(err)), o.run.Model)
	}
	if list := o.run.Model.Device; strings.Contains(list, ",") {
		plan.Warnings = append(plan.Warnings, "this is the plan of one device; each of "+list+
			" needs as much, and computes a part of the pictures")
	}
	for _, w := range plan.Warnings {
		if o.config == "" {
			w = withFlags(w)
		}
		if err := printTo(env.Stderr, "warning: %s\n", strings.Map(printable, w)); err != nil {
			return err
		}
	}
	if o.json {
		return errors.Join(printJSON(env.Stdout, planReport(plan, err)), err)
	}
	return errors.Join(printPlan(env, service.ModelName(o.run.Model), plan, err == nil), err)
}

// planJSON is a plan with the peaks that programs want, and what is missing.
type planJSON struct {
	Fits bool `json:"fits"`
	pipeline.MemoryPlan
	Peaks    []planPeak `json:"peaks"`
	Smallest int64      `json:"smallest_limit,omitempty"` // in bytes, where it does not fit
	Error    string     `json:"error,omitempty"`
}

// planPeak is the most that one device holds.
type planPeak struct {
	Device string `json:"device"`
	Bytes  int64  `json:"bytes"`
	Stage  string `json:"stage"`
}

func planReport(plan pipeline.MemoryPlan, err error) planJSON {
	out := planJSON{Fits: err == nil, MemoryPlan: plan, Peaks: []planPeak{}}
	for _, device := range planDevices(plan) {
		n, stage := plan.Peak(device)
		out.Peaks = append(out.Peaks, planPeak{device, n, stage})
	}
	var over *memory.OverBudgetError
	if errors.As(err, &over) {
		out.Smallest, out.Error = over.Smallest, err.Error()
	}
	return out
}

// planDevices lists the devices that hold anything, the UNet's first.
func planDevices(plan pipeline.MemoryPlan) []string {
	out := []string{plan.Device}
	for _, p := range plan.Parts {
		if !slices.Contains(out, p.Device) {
			out = append(out, p.Device)
		}
	}
	if !slices.Contains(out, memory.HostID) {
		out = append(out, memory.HostID)
	}
	return out
}

// printPlan prints the table.
func printPlan(env Env, model string, plan pipeline.MemoryPlan, fits bool) error {
	rows := [][]string{{"COMPONENT", "DEVICE", "TYPE", "WEIGHTS", "HELD"}}
	var total int64
	for _, p := range plan.Parts {
		name := p.Component
		if p.Owner != memory.OwnerModel && p.Owner != p.Component {
			name = pipeline.ModelName(p.Owner) + " " + p.Component
		}
		rows = append(rows, []string{name, p.Device, string(p.Type), words.Budget(p.Bytes), heldAs(plan, p, fits)})
		total += p.Bytes
	}
	rows = append(rows, []string{"together", "", "", words.Budget(total), ""})
	var out page
	out.line("%s", model)
	out.table(rows)
	if fits {
		for i, job := range plan.Jobs {
			printJob(&out, plan, i, job)
		}
	}
	note := "compute buffers are the library's own figures"
	if !plan.Measured {
		note = "compute buffers are estimated: the library could not be asked (daguerre doctor)"
	}
	if fits {
		out.line("\n%s\n%s", plan.Reason, note)
	}
	return out.print(env)
}

// heldAs says when a component is in memory.
func heldAs(plan pipeline.MemoryPlan, p memory.Part, fits bool) string {
	s := plan.Strategy
	text := p.Component == memory.TextEncoder || p.Component == memory.TextEncoder2
	network := p.Component == memory.UNet || p.Component == memory.ControlNet
	switch {
	case !fits:
		return ""
	case p.Owner == memory.OwnerTAESD:
		return "resident"
	case s.Name == memory.Stream && (network || s.StreamText && text):
		return "streamed through " + words.Budget(plan.StreamBytes)
	case s.Name == memory.Mmap:
		return "mapped: " + words.Budget(p.Mapped)
	case s.Name == memory.Resident, s.Name == memory.Release && network:
		return "resident"
	case text:
		return "released after encoding"
	}
	return "while it is used"
}

// printJob adds one job's stages by device.
func printJob(out *page, plan pipeline.MemoryPlan, i int, job memory.JobPlan) {
	size := plan.Sizes[i]
	batch := fmt.Sprintf("batches of %d", job.Batch)
	if job.NextBatch > 0 {
		batch += fmt.Sprintf(" (%d would need %s)", job.NextBatch, words.Budget(job.NextBytes))
	}
	batch += word(job.Tiling, ", VAE by tiles", "") + word(job.Separate && size.Guidance, ", halves of guidance one after the other", "")
	out.line("\nJOB %d  %dx%d, %d %s, %s", i+1, size.Width, size.Height, size.Images, words.Plural(size.Images, "image"), batch)
	rows := [][]string{{"STAGE", "DEVICE", "WEIGHTS", "COMPUTE", "OTHER", "SUM"}}
	var peaks []string
	for _, device := range planDevices(plan) {
		peak, at := job.Breakdown.Peak(device)
		for _, stage := range job.Breakdown.Stages {
			var weights, compute, other int64
			for _, item := range stage.Items {
				switch {
				case item.Device != device:
				case item.Use == memory.UseWeights, item.Use == memory.UseWindow:
					weights += item.Bytes
				case item.Use == memory.UseCompute:
					compute += item.Bytes
				default:
					other += item.Bytes
				}
			}
			if weights+compute+other > 0 {
				rows = append(rows, []string{stage.Name, device, words.Budget(weights), words.Budget(compute), words.Budget(other),
					words.Budget(weights + compute + other)})
			}
		}
		if peak > 0 {
			peaks = append(peaks, fmt.Sprintf("peak of %s: %s%s, in %s", device, words.Budget(peak), budgetOf(plan, device), at))
		}
	}
	out.figures(rows, 2)
	for _, line := range peaks {
		out.line("%s", line)
	}
}

// budgetOf says what a device may hold.
func budgetOf(plan pipeline.MemoryPlan, device string) string {
	for _, b := range plan.Budgets {
		if b.Device == device {
			return fmt.Sprintf(" of %s (%s)", words.Budget(b.Bytes), strings.TrimSpace(b.Why))
		}
	}
	return ""
}
