package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/daguerre-go/daguerre/internal/machine"
)

// measureCommand, as the first argument, has this program run another and write its peak of resident memory to a file. A process
// counts what the one that starts it has in memory as its own peak. So that one has to be small; the recorder itself is not.
const measureCommand = "measure-peak"

// measured returns the command that runs a program and writes its peak to a file.
func measured(peak, program string, args []string) ([]string, string, error) {
	self, err := os.Executable()
	return append([]string{measureCommand, peak, program}, args...), self, err
}

// measure does what measureCommand asks for and returns the exit code of the program.
func measure(args []string) int {
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = os.WriteFile(args[0], []byte(strconv.FormatInt(machine.PeakRSSOf(cmd.ProcessState), 10)), 0o600)
	if code := cmd.ProcessState.ExitCode(); code != 0 || err == nil {
		return code
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func readPeak(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 {
		return 0, errors.New("the peak was not measured")
	}
	return n, nil
}
