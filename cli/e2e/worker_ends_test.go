//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/daguerre-go/daguerre/internal/machine"
)

// write writes a line.
func (c *conversation) write(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
}

// end waits for the last event of a request.
func (c *conversation) end(id string) map[string]any {
	c.t.Helper()
	return c.event(id, "done", "error")
}

// child is the process that a supervisor computes in; id is that of the question.
func (c *conversation) child(id string) int {
	c.t.Helper()
	c.send(id, "hello", nil)
	return int(c.event(id, "hello")["pid"].(float64))
}

// exit waits for the end of a command and returns the exit code.
func exit(t *testing.T, cmd *exec.Cmd, most time.Duration) int {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code tells
		close(done)
	}()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	case <-time.After(most):
		_ = cmd.Process.Kill()
		require.Fail(t, "it does not end")
		return -1
	}
}

const longRun = `{"id":%q,"type":"generate","deliver":{"previews":1},"request":{"model":{"model":"nano","threads":1},"prompt":"x",` +
	`"steps":1000,"n_iter":99}}`

// TestEndsWithoutAReader: a reader of standard output that keeps it open and reads nothing does not keep the program from ending.
func TestEndsWithoutAReader(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"worker"}, {"worker", "--supervise"},
		{"generate", "--json", "--model", "nano", "--threads", "1", "--prompt",
			"x", "--steps", "2", "-n", "3000", "--max-batch", "1", "-o", filepath.Join(dir, "{seed}.png")}} {
		cmd := prepare(t, args...)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, w, err := os.Pipe()
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = w, os.Stderr
		require.NoError(t, cmd.Start())
		if args[0] == "worker" {
			_, err = fmt.Fprintf(in, longRun+"\n", "a")
			require.NoError(t, err)
		}
		for full, began := -1, time.Now(); ; { // until nothing more is written
			time.Sleep(time.Second)
			n, err := unix.IoctlGetInt(int(out.Fd()), unix.TIOCINQ)
			require.NoError(t, err)
			if n == full && n > 1<<15 {
				break
			}
			require.Less(t, time.Since(began), 2*time.Minute, "the pipe is not full: %d", n)
			full = n
		}
		began := time.Now()
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		assert.Equal(t, 130, exit(t, cmd, 40*time.Second), args)
		t.Log(args, time.Since(began))
		_, _ = out.Close(), w.Close()
	}
}

// TestHangUp: a terminal that goes away ends the program as SIGTERM does, unless nohup says otherwise.
func TestHangUp(t *testing.T) {
	// If these tests run under nohup themselves, programs that they start ignore the signal as well. Those of a process that hears it do not.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	for _, flags := range [][]string{{}, {"--supervise"}} {
		c := converse(t, flags...)
		c.write(longRun, "a")
		c.event("a", "progress")
		require.NoError(t, c.cmd.Process.Signal(syscall.SIGHUP))
		assert.Equal(t, "cancelled", c.end("a")["code"], flags)
		assert.Equal(t, 130, exit(t, c.cmd, 40*time.Second), flags)
	}
	cmd := prepare(t, "worker")
	cmd.Args = append([]string{"nohup", program}, cmd.Args[1:]...)
	var err error
	cmd.Path, err = exec.LookPath("nohup")
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	hello, err := lines.ReadString('\n') // nohup has done its work, and the program has begun
	require.NoError(t, err)
	assert.Contains(t, hello, `"hello"`)
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	_, err = io.WriteString(in, `{"id":1,"type":"status"}`+"\n")
	require.NoError(t, err)
	require.NoError(t, in.Close())
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), "the signal was ignored")
	assert.Contains(t, string(rest), `"done"`)
}

// TestStoppedWorker: the watchdog ends a process that stands still while the real library computes in it, and none that computes.
func TestStoppedWorker(t *testing.T) {
	c := converse(t, "--supervise", "--watchdog", "2s")
	c.write(longRun, "a")
	c.event("a", "progress")
	pid := c.child("pid")
	for i := range 50 {
		time.Sleep(100 * time.Millisecond)
		id := fmt.Sprint("alive ", i)
		c.send(id, "devices", nil)
		c.event(id, "done")
	}
	assert.Equal(t, pid, c.child("pid, later"), "it answers while it computes")
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	c.send("s", "status", nil)
	c.send("b", "generate", map[string]any{"model": "nano", "prompt": "a red circle", "steps": 2})
	assert.Equal(t, "done", c.end("s")["event"])
	assert.Contains(t, c.event("", "restarted")["reason"], "did not answer for 2s")
	assert.Equal(t, "done", c.end("b")["event"])
	require.NoError(t, c.in.Close())
	assert.Equal(t, 0, exit(t, c.cmd, time.Minute))
}

const controlMap = `{"id":%q,"type":"controlnet","request":{"image":"data:image/png;base64,%s","preprocessor":"invert",` +
	`"width":64,"height":64}}`

// TestControlMapsAtOnce: fourteen large ones do not need fourteen times the memory.
func TestControlMapsAtOnce(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, 6000, 6000))))
	data := base64.StdEncoding.EncodeToString(file.Bytes())
	c := converse(t, "--queue", "12")
	for i := range 14 {
		c.write(controlMap, fmt.Sprint("c", i), data)
	}
	assert.Equal(t, "queue_full", c.end("c13")["code"])
	c.write(`{"id":"all","type":"cancel","request":{"all":true}}`)
	c.end("all")
	c.write(controlMap, "one", data)
	c.event("one", "done")
	require.NoError(t, c.in.Close())
	assert.Equal(t, 0, exit(t, c.cmd, time.Minute))
	peak := machine.PeakRSSOf(c.cmd.ProcessState)
	t.Logf("peak: %d MiB", peak>>20)
	assert.Less(t, peak, int64(1500<<20))
}

// TestModelThatIsAwayForAWhile: a model whose disk is away when the process is started again is tried again.
func TestModelThatIsAwayForAWhile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "m.safetensors")
	require.Equal(t, 0, run(t, "models", "synth", "--kind", "nano", "-o", file, "--quiet").code)
	c := converse(t, "--supervise")
	c.write(`{"id":"load","type":"load","request":{"model":{"model":%q,"threads":1},"name":"m"}}`, file)
	c.event("load", "done")
	pid := c.child("pid")
	require.NoError(t, os.Rename(file, file+".away"))
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	assert.Contains(t, c.event("", "warning")["message"], "no such file")
	c.write(`{"id":"a","type":"generate","request":{"prompt":"x","steps":1}}`)
	e := c.end("a")
	assert.Equal(t, "bad_file", e["code"])
	assert.True(t, strings.Contains(fmt.Sprint(e["message"]), "m.safetensors"), e)
	require.NoError(t, os.Rename(file+".away", file))
	c.write(`{"id":"b","type":"generate","request":{"prompt":"x","steps":1}}`)
	assert.Equal(t, "done", c.end("b")["event"])
	require.NoError(t, c.in.Close())
	assert.Equal(t, 0, exit(t, c.cmd, time.Minute))
}
