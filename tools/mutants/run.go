package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
)

// picture are the flags of all runs that make one.
const picture = "--prompt sparkle --width 64 --height 64 --steps 4 --seed 1 --threads 1 --overwrite -o OUT.png"

// result is how a run ended.
type result struct {
	code    int // -1: by a signal, or not at all
	said    string
	warned  bool
	written string // hash of what was written
}

// try runs the program on a file.
func (o options) try(ctx context.Context, in, dir string, s *subject, data []byte) result {
	file, out := filepath.Join(dir, s.name+filepath.Ext(s.file)), filepath.Join(dir, "out")
	_ = os.RemoveAll(dir)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, data, 0o600)); err != nil {
		return result{code: -1, said: err.Error()}
	}
	place := strings.NewReplacer("FILE", file, "IN", in, "OUT", out)
	var args []string
	for _, a := range s.args {
		more := strings.Fields(strings.ReplaceAll(a, "PICTURE", picture))
		for i, m := range more {
			more[i] = place.Replace(m)
		}
		args = append(args, more...)
	}
	for i, a := range args { // a run file that names the damaged file
		if filepath.Ext(a) == ".toml" && a != file {
			text, err := os.ReadFile(a)
			args[i] = filepath.Join(dir, filepath.Base(a))
			if err := errors.Join(err, os.WriteFile(args[i], []byte(place.Replace(string(text))), 0o600)); err != nil {
				return result{code: -1, said: err.Error()}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // prints the stacks of a program that hangs
	said, err := cmd.CombinedOutput()
	r := result{code: cmd.ProcessState.ExitCode(), said: strings.TrimSpace(string(said))}
	if ctx.Err() != nil {
		r.code, r.said = -1, fmt.Sprintf("it did not end in %v\n%s", o.timeout, r.said)
	} else if r.code < 0 {
		r.said = fmt.Sprintf("%v\n%s", err, r.said)
	}
	r.warned = strings.Contains(strings.ToLower(r.said), "warning")
	for _, name := range []string{"out.png", "out.safetensors"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			r.written = written(name, data)
		}
	}
	return r
}

// written is the hash of a file that the program wrote. Texts in a picture's file are left out.
func written(name string, data []byte) string {
	if filepath.Ext(name) == ".png" {
		data = pixels(data)
	}
	sum := sha256.Sum256(data)
	return string(sum[:])
}

// table counts the results.
type table struct {
	sync.Mutex
	counts   map[string]map[int]int
	silent   map[string]int
	failures string
	failed   int
}

// add counts one result. It keeps the file if the result is wrong.
func (t *table) add(i int, s *subject, m mutant, r result) {
	t.Lock()
	defer t.Unlock()
	if t.counts == nil {
		t.counts, t.silent = map[string]map[int]int{}, map[string]int{}
	}
	if t.counts[s.name] == nil {
		t.counts[s.name] = map[int]int{}
	}
	t.counts[s.name][r.code]++
	why := ""
	switch {
	case r.code != 0 && r.code != 2 && r.code != 3 && r.code != 4:
		why = fmt.Sprintf("exit code %d", r.code)
	case strings.Contains(r.said, "goroutine ") || strings.Contains(r.said, "panic"):
		why = "a trace"
	case r.code == 0 && m.described && !r.warned && r.written != s.sound.written:
		why = "another picture without a word"
		t.silent[s.name]++
	default:
		return
	}
	t.failed++
	path := filepath.Join(t.failures, fmt.Sprintf("%s-%d%s", s.name, i, filepath.Ext(s.file)))
	err := errors.Join(os.MkdirAll(t.failures, 0o755), os.WriteFile(path, m.bytes, 0o600))
	fmt.Printf("%s: %s (%s) %v\n", filepath.Base(path), why, m.how, err)
	if r.said != "" {
		fmt.Println("  " + strings.ReplaceAll(r.said[:min(len(r.said), 1500)], "\n", "\n  "))
	}
}

// print prints a line for each subject.
func (t *table) print(subjects []subject) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\t0\t2\t3\t4\tOTHERS\tANOTHER PICTURE")
	for _, s := range subjects {
		c, others := t.counts[s.name], 0
		for code, n := range c {
			if code != 0 && code != 2 && code != 3 && code != 4 {
				others += n
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", s.name, c[0], c[2], c[3], c[4], others, t.silent[s.name])
	}
	_ = w.Flush()
}
