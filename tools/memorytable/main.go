// Command memorytable compares planned memory with what runs take. For every combination of the given types, sizes, batches and tilings it
// asks `daguerre plan` for the peak, and runs `daguerre generate` in a process of its own, of which the system tells the largest resident
// set (ru_maxrss, VmHWM).
//
// With -limits it runs the first combination under hard limits (RLIMIT_DATA: all private memory that can be written). A limit is a share of
// the peak with all weights resident, and may name how weights are held. Each picture and its latents must be the same as without a limit,
// bit for bit. The last limit is far too small: it must be refused, and the limit that the refusal names must work. Arguments after the
// flags go to the program.
//
//	go run ./tools/memorytable -daguerre bin/daguerre -model nano
//	go run ./tools/memorytable -daguerre bin/daguerre -model sdxl.safetensors -sizes 256 -batches 1 -types f16 -limits 60,40:stream,25
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

type options struct {
	program, model        string
	sizes, batches        []string
	types, tilings, limit []string
	strategy              string
	within                float64
	picture               string // hash of the first one made without a limit
}

const latentsFile = "latents.npy"

// name is the plan's strategy in words.
func name(p tool.Plan) string {
	var strategy struct {
		Name     string
		Texts    bool `json:"stream_text"`
		Tiling   bool `json:"vae_tiling"`
		Separate bool `json:"guidance_separate"`
	}
	_ = json.Unmarshal(p.Strategy, &strategy)
	s := strategy.Name
	if p.Window > 0 {
		s += fmt.Sprintf(", window %d MiB", p.Window>>20)
	}
	if strategy.Texts {
		s += ", texts streamed"
	}
	if strategy.Tiling {
		s += ", VAE by tiles"
	}
	if strategy.Separate {
		s += ", guidance separate"
	}
	return s
}

func main() {
	var o options
	list := func(to *[]string, name, value, usage string) {
		*to = strings.Split(value, ",")
		flag.Func(name, usage+" (default "+value+")", func(s string) error { *to = strings.Split(s, ","); return nil })
	}
	flag.StringVar(&o.program, "daguerre", "bin/daguerre", "the program")
	flag.StringVar(&o.model, "model", "nano", "a checkpoint, or nano")
	list(&o.sizes, "sizes", "256,512,1024", "sides of square pictures")
	list(&o.batches, "batches", "1,2,8", "pictures in a batch")
	list(&o.types, "types", "f16,q8_0,q4_k", "types of the weights")
	list(&o.tilings, "tilings", "off,on", "tiling of the VAE")
	list(&o.limit, "limits", "", "hard limits in percent of the resident peak of the first combination, such as 40, or 40:stream")
	flag.StringVar(&o.strategy, "strategy", "resident", "how weights are held in the table")
	flag.Float64Var(&o.within, "within", 5, "largest error in percent; more fails the command")
	flag.Parse()
	tool.Exit("memorytable", run(o))
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "memorytable")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.limit[0] != "" {
		return limits(o, dir)
	}
	tool.Header("type", "size", "batch", "VAE", "planned MiB", "measured MiB", "error", "in stage")
	worst := 0.0
	for _, typ := range o.types {
		for _, size := range o.sizes {
			for _, batch := range o.batches {
				for _, tiling := range o.tilings {
					args := jobArgs(o, dir, typ, size, batch, tiling)
					plan, err := ask(o, 0, args)
					if err != nil {
						return err
					}
					got, _, err := generate(o, 0, args)
					if err != nil {
						return err
					}
					want, stage := plan.HostPeak()
					off := 100 * (float64(want) - float64(got)) / float64(got)
					worst = max(worst, math.Abs(off))
					vae := map[string]string{"off": "whole", "on": "tiles"}[tiling]
					fmt.Printf("| %s | %s | %s | %s | %.0f | %.0f | %+.1f %% | %s |\n", typ, size, batch, vae, mib(want), mib(got), off, stage)
				}
			}
		}
	}
	fmt.Printf("\nlargest error: %.1f %%\n", worst)
	if worst > o.within {
		return fmt.Errorf("the largest error is %.1f %%, and %.1f are allowed", worst, o.within)
	}
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func jobArgs(o options, dir, typ, size, batch, tiling string) []string {
	args := []string{"--model", o.model, "--type", typ, "--device", "cpu", "--width", size, "--height", size, "-n", batch, "--batch", batch,
		"--steps", "1", "--guidance-scale", "1", "--seed", "1", "--vae-tiling", tiling, "--memory-strategy", o.strategy, "--prompt",
		"a red circle on a blue background", "-o", filepath.Join(dir, "{index}.png"), "--save-latents", filepath.Join(dir, latentsFile)}
	return append(args, flag.Args()...)
}

// limited wraps a command so that it runs under RLIMIT_DATA.
func limited(program string, limit int64, args []string) *exec.Cmd {
	if limit == 0 {
		return exec.Command(program, args...)
	}
	return exec.Command("/bin/sh", append([]string{"-c", `ulimit -d ` + strconv.FormatInt(limit>>10, 10) + ` && exec "$0" "$@"`, program},
		args...)...)
}

// ask plans; a plan that does not fit is no error.
func ask(o options, limit int64, args []string) (p tool.Plan, err error) {
	cmd := limited(o.program, limit, append([]string{"plan", "--json"}, args...))
	out, err := tool.Output(cmd)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 4) {
		return p, err
	}
	return p, json.Unmarshal(out, &p)
}

// generate runs and returns the largest resident set.
func generate(o options, limit int64, args []string) (int64, time.Duration, error) {
	cmd := limited(o.program, limit, append([]string{"generate", "--quiet", "--overwrite"}, args...))
	began := time.Now()
	if _, err := tool.Output(cmd); err != nil {
		return 0, 0, err
	}
	peak := machine.PeakRSSOf(cmd.ProcessState)
	if peak == 0 {
		return 0, 0, errors.New("this system does not report resident sets")
	}
	return peak, time.Since(began), nil
}

// limits runs the first combination under hard limits.
func limits(o options, dir string) error {
	args := jobArgs(o, dir, o.types[0], o.sizes[0], o.batches[0], "auto")
	whole, took, err := generate(o, 0, append(args, "--memory-strategy", "resident"))
	if err != nil {
		return err
	}
	if o.picture, err = hash(dir); err != nil {
		return err
	}
	tool.Header("limit", "strategy of the plan", "planned MiB", "measured MiB", "seconds", "result")
	fmt.Printf("| none | resident | | %.0f | %.0f | reference |\n", mib(whole), took.Seconds())
	args = append(args, "--memory-strategy", "auto")
	var errs []error
	for _, text := range o.limit {
		percent, strategy, forced := strings.Cut(text, ":")
		share, err := strconv.ParseFloat(percent, 64)
		if err != nil {
			return err
		}
		limited := args
		if forced {
			limited = append(slices.Clip(args), "--memory-strategy", strategy)
		}
		limit := int64(share / 100 * float64(whole))
		errs = append(errs, under(o, dir, limit, fmt.Sprintf("%s %%: %.0f MiB", percent, mib(limit)), limited))
	}
	// Far too little: refused before loading, with a limit that works.
	little, err := ask(o, whole/100*4, args)
	if err != nil || little.Fits {
		return fmt.Errorf("4 %% of the peak are not refused: %w", err)
	}
	fmt.Printf("| 4 %%: %.0f MiB | refused, needs %.0f MiB | | | | |\n", mib(whole/100*4), mib(little.Smallest))
	withFlag := append(args, "--memory-limit", fmt.Sprintf("%dMiB", (little.Smallest+1<<20-1)>>20))
	return errors.Join(append(errs, under(o, dir, 0, fmt.Sprintf("memory_limit %.0f MiB", mib(little.Smallest)), withFlag))...)
}

// hash is the hash of the first picture's pixels and latents.
func hash(dir string) (string, error) {
	img, imgErr := picture.Load(filepath.Join(dir, "0.png"))
	latents, err := os.ReadFile(filepath.Join(dir, latentsFile))
	if err := errors.Join(imgErr, err); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(append(latents, img.Pix...))), nil
}

// under runs under a limit and prints a row. It is an error if the run fails, takes more memory, or makes another picture.
func under(o options, dir string, limit int64, label string, args []string) error {
	plan, err := ask(o, limit, args)
	if err == nil && !plan.Fits {
		err = fmt.Errorf("none fits: %.0f MiB are needed", mib(plan.Smallest))
	}
	want, _ := plan.HostPeak()
	var got int64
	var took time.Duration
	if err == nil {
		got, took, err = generate(o, limit, args)
	}
	if err == nil && limit > 0 && got > limit && !strings.Contains(string(plan.Strategy), "mmap") {
		err = errors.New("it took more")
	}
	if err == nil {
		var made string
		if made, err = hash(dir); err == nil && made != o.picture {
			err = errors.New("it made another picture")
		}
	}
	if err != nil {
		fmt.Printf("| %s | %s | %.0f | | | %v |\n", label, name(plan), mib(want), err)
		return fmt.Errorf("%s: %w", label, err)
	}
	fmt.Printf("| %s | %s | %.0f | %.0f | %.0f | equal |\n", label, name(plan), mib(want), mib(got), took.Seconds())
	return nil
}
