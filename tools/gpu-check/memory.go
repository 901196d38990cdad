package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/vulkanlayer"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// memory compares what `daguerre plan` says with what runs take on the device: on CUDA by nvidia-smi, on Vulkan by a layer that counts
// allocations, on the CPU by the process's peak.
func (c *check) memory(ctx context.Context) error {
	file, err := c.weights(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.program); err != nil {
		return notRun("%s is missing: ./build.sh makes it", c.program)
	}
	var layer *vulkanlayer.Layer
	if strings.HasPrefix(c.device, "vulkan") {
		built, err := vulkanlayer.Build(ctx, filepath.Join(c.out, "layer"))
		if err != nil {
			return notRun("%v", err)
		}
		layer = &built
	}
	for _, size := range c.sizes {
		for _, typ := range c.types {
			if typ == "bf16" {
				continue // as large as f16
			}
			if c.clock.left() < 45*time.Second && !c.rehearse {
				c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("memory: %s at %d px", typ, size))
				continue
			}
			m, err := c.takes(ctx, layer, file, typ, size)
			if err != nil {
				return fmt.Errorf("%s at %d px: %w", typ, size, err)
			}
			c.report.Memory = append(c.report.Memory, m)
		}
	}
	return nil
}

// takes plans and runs one picture.
func (c *check) takes(ctx context.Context, layer *vulkanlayer.Layer, file, typ string, size int) (Memory, error) {
	m := Memory{Type: typ, Size: size}
	args := []string{"--model", file, "--device", c.device, "--type", typ, "--width", strconv.Itoa(size), "--height", strconv.Itoa(size),
		"--steps", "1", "--seed", "1", "--prompt", "x"}
	out, err := tool.Output(exec.CommandContext(ctx, c.program, append([]string{"plan", "--json"}, args...)...))
	if err != nil {
		return m, err
	}
	var plan tool.Plan
	if err := json.Unmarshal(out, &plan); err != nil {
		return m, err
	}
	for _, p := range plan.Peaks {
		if p.Device == c.device {
			m.Planned = p.Bytes
		}
	}
	cmd := exec.CommandContext(ctx, c.program, append([]string{"generate", "--quiet", "--overwrite", "--fresh", "-o",
		filepath.Join(c.out, "memory.png")}, args...)...)
	cmd.Stderr = os.Stderr
	counts := filepath.Join(c.out, "layer", "counts")
	if layer != nil {
		env, err := layer.Env(vulkanlayer.Options{Counts: counts})
		if err != nil {
			return m, err
		}
		cmd.Env = append(os.Environ(), env...)
	}
	if err := cmd.Start(); err != nil {
		return m, err
	}
	stop, ended := make(chan struct{}), sync.WaitGroup{}
	ended.Go(func() { m.Taken = watch(c.device, cmd.Process.Pid, stop) })
	err = cmd.Wait()
	close(stop)
	ended.Wait()
	if err != nil {
		return m, err
	}
	m.Process = machine.PeakRSSOf(cmd.ProcessState)
	switch {
	case layer != nil:
		n, err := vulkanlayer.ReadCounts(counts)
		m.Taken, m.By = int64(n.Peak), byLayer
		return m, err
	case !c.found.GPU():
		m.Taken, m.By = m.Process, byProcess
	case m.Taken > 0:
		m.By = bySMI
	}
	return m, nil
}

// Who told what a run took.
const (
	bySMI     = "nvidia-smi, with CUDA's own"
	byLayer   = "allocations that Vulkan saw"
	byProcess = "the process's peak"
)

// watch asks nvidia-smi for what a process holds until it is stopped, and returns the most; 0 where there is no nvidia-smi.
func watch(device string, pid int, stop <-chan struct{}) (most int64) {
	if !strings.HasPrefix(device, "cuda") {
		return 0
	}
	for {
		out, err := exec.Command("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits").Output()
		if err != nil {
			return most
		}
		for _, line := range strings.Split(string(out), "\n") {
			who, mib, found := strings.Cut(line, ",")
			if n, err := strconv.ParseInt(strings.TrimSpace(mib), 10, 64); found && err == nil && strings.TrimSpace(who) == strconv.Itoa(pid) {
				most = max(most, n<<20)
			}
		}
		select {
		case <-stop:
			return most
		case <-time.After(50 * time.Millisecond):
		}
	}
}
