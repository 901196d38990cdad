// Command memorylimits runs SDXL's stages (both text encoders, steps of the UNet, the VAE) with each way to hold weights, under hard limits
// of memory. A limit is a share of what a run with all weights resident takes. Every run is a process of its own, in a control group with
// that limit where one can be made (as root), else under RLIMIT_DATA. The results are compared bit for bit. It needs libdaguerre (make).
//
//	bin/daguerre models synth --kind sdxl-base --type f16 -o sdxl.safetensors
//	go run ./tools/memorylimits -model sdxl.safetensors
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

type options struct {
	Model     string
	Size      int
	Steps     int
	Precision string

	only      string
	reference string

	// For the process of one plan.
	Plan   plan
	Cgroup string // to join
	Data   int64  // its RLIMIT_DATA where there is no group
}

// plan is one way to hold the weights.
type plan struct {
	Name   string
	Share  float64 // of memory; 0: no limit
	Text   string
	UNet   string
	VAE    string
	Window int64
	Unload bool // each stage's weights once it is done
}

// plans: the others' limits are shares of what the first takes.
var plans = []plan{
	{Name: "all resident", Text: "resident", UNet: "resident", VAE: "resident"},
	{Name: "each stage's weights while it runs", Share: 0.80, Text: "on_demand", UNet: "on_demand", VAE: "on_demand", Unload: true},
	{Name: "UNet streamed, window 2 GiB", Share: 0.60, Text: "on_demand", UNet: "stream", VAE: "on_demand", Window: 2 << 30, Unload: true},
	{Name: "UNet mapped", Share: 0.60, Text: "on_demand", UNet: "mmap", VAE: "on_demand", Unload: true},
	{Name: "UNet streamed, window 1 GiB", Share: 0.40, Text: "on_demand", UNet: "stream", VAE: "on_demand", Window: 1 << 30, Unload: true},
	{Name: "UNet and texts streamed, window 512 MiB", Share: 0.25, Text: "stream", UNet: "stream", VAE: "on_demand", Window: 512 << 20,
		Unload: true},
	{Name: "all streamed, window 128 MiB", Share: 0.12, Text: "stream", UNet: "stream", VAE: "stream", Window: 128 << 20, Unload: true},
}

// outcome is what a run reports, in bytes and seconds.
type outcome struct {
	Peak    int64   // resident memory that is no file's
	Counted int64   // the model's own count at its peak
	Pages   int64   // read from block devices
	Text    float64 // both encoders, with loading
	First   float64 // the first UNet step, with loading
	Step    float64 // the fastest of the later ones
	Decode  float64 // with loading
	Hash    string  // of all results
	Useless string  // why the plan cannot be shown here; nothing was run
}

func main() {
	var o options
	flag.StringVar(&o.Model, "model", "", "an SDXL checkpoint")
	flag.IntVar(&o.Size, "size", 256, "height and width of the picture")
	flag.IntVar(&o.Steps, "steps", 3, "evaluations of the UNet, on a batch of 1")
	flag.StringVar(&o.Precision, "precision", "auto", "as daguerre generate's")
	flag.StringVar(&o.only, "only", "", "run the plans whose name contains this, and the first")
	flag.StringVar(&o.reference, "reference", "", "a file that keeps the first plan's outcome: written where it is missing, else that plan "+
		"is not run")
	child := flag.String("child", "", "options as JSON: run one plan and print what it took (used by the program itself)")
	flag.Parse()
	var err error
	switch {
	case *child != "":
		if err = json.Unmarshal([]byte(*child), &o); err == nil {
			err = runChild(context.Background(), o)
		}
	case o.Model == "":
		err = fmt.Errorf("-model: name an SDXL checkpoint, such as one of daguerre models synth")
	default:
		err = runAll(o)
	}
	tool.Exit("memorylimits", err)
}

// runAll runs the plans one after the other and prints them.
func runAll(o options) error {
	var first outcome
	err := tool.ReadJSON(o.reference, &first)
	known := err == nil
	if !known && o.reference != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tool.Header("weights", "limit", "peak", "of it counted", "text s", "first step s", "step s", "decode s", "read from disk", "result")
	failed := 0
	for i, p := range plans {
		if i > 0 && !strings.Contains(p.Name, o.only) || i == 0 && known {
			continue
		}
		limit := int64(p.Share * float64(first.Peak))
		got, err := runPlan(o, p, limit)
		if err != nil && i == 0 { // the others' limits are shares of what it takes
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if err != nil {
			fmt.Printf("| %s | %s | | | | | | | | %v |\n", p.Name, words.Measured(limit), err)
			failed++
			continue
		}
		if got.Useless != "" {
			fmt.Printf("| %s | | | | | | | | | left out: %s |\n", p.Name, got.Useless)
			continue
		}
		result := "equal"
		if i == 0 {
			first, result = got, "reference"
			if o.reference != "" {
				if err := tool.WriteJSON(o.reference, got); err != nil {
					return err
				}
			}
		} else if got.Hash != first.Hash {
			result = "DIFFERENT"
			failed++
		}
		share := "none"
		if limit > 0 {
			share = fmt.Sprintf("%s (%.0f %%)", words.Measured(limit), 100*p.Share)
		}
		fmt.Printf("| %s | %s | %s (%.0f %%) | %s | %.1f | %.1f | %.1f | %.1f | %s | %s |\n", p.Name, share, words.Measured(got.Peak),
			100*float64(got.Peak)/float64(first.Peak), words.Measured(got.Counted), got.Text, got.First, got.Step, got.Decode,
			words.Measured(got.Pages), result)
	}
	if failed > 0 {
		return fmt.Errorf("%d plans failed, or had other results than the first", failed)
	}
	return nil
}

// runPlan runs one plan in a process that may not take more than limit.
func runPlan(o options, p plan, limit int64) (out outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return out, err
	}
	o.Plan = p
	if limit > 0 {
		group, groupErr := makeGroup(limit)
		if groupErr == nil {
			defer group.remove()
			o.Cgroup = group.procs
		} else {
			fmt.Fprintln(os.Stderr, "memorylimits: RLIMIT_DATA instead of a control group:", groupErr)
			o.Data = limit
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	cmd := exec.Command(self, "-child", string(text))
	cmd.Stderr = os.Stderr
	result, err := cmd.Output()
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(result, &out)
}
