package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	hardware "github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/words"
)

// machine is what the figures depend on.
type machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"` // logical
	Memory     int64  `json:"memory_bytes"`
	System     string `json:"system"`
	Commit     string `json:"commit"` // of this repository
}

func describeMachine() machine {
	d, commit := hardware.Describe(), "unknown"
	if out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return machine{d.CPU, d.Cores, d.Memory, d.System, commit}
}

// enoughMemory refuses to begin a run that would make the machine swap, or have a process killed: the weights are held once, and buffers
// are smaller than 3 GiB at 256 pixels.
func enoughMemory(model string) error {
	st, err := os.Stat(model)
	if err != nil {
		return err
	}
	_, have := hardware.RAM()
	if need := st.Size() + 3<<30; have > 0 && have < need {
		return fmt.Errorf("only %s of memory are free, and a run needs about %s; wait for what else is running", words.Bytes(have),
			words.Bytes(need))
	}
	return nil
}
