package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// measureCommand, as the first argument, has this program run another and write its peak of resident memory to a file. A process
// counts what the one that starts it has in memory as its own peak. So that one has to be small; the recorder itself is not.
const measureCommand = "measure-peak"

// measure does what measureCommand asks for.
func measure(peak, program string, args []string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	bytes := machine.PeakRSSOf(cmd.ProcessState)
	if bytes == 0 {
		return errors.New("the peak was not measured")
	}
	return tool.WriteJSON(peak, bytes)
}
