package service

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Process is a child process that serves, so that what ends it ends nobody else.
type Process struct {
	In    io.WriteCloser
	Out   io.Reader
	Began time.Time

	cmd   *exec.Cmd
	once  sync.Once
	timer *time.Timer
}

// StartProcess starts a command with env besides this process's environment. The caller reads Out to its end and then calls Wait.
func StartProcess(command, env []string, stderr io.Writer) (*Process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), stderr
	cmd.SysProcAttr = ownGroup() // Ctrl-C is for this process, which passes it on
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &Process{In: in, Out: out, Began: time.Now(), cmd: cmd}, cmd.Start()
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Terminate asks the process to give up what it does, and kills it if it has not ended in time.
func (p *Process) Terminate(grace time.Duration) {
	p.once.Do(func() {
		_ = interrupt(p.cmd.Process)
		p.timer = time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
	})
}

// Kill ends the process at once, even one that is stopped.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Wait waits for the end and tells how it was.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if p.timer != nil {
		p.timer.Stop()
	}
	return err
}
