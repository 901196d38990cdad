package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
)

// client talks to a running worker.
type client struct {
	in    io.WriteCloser
	lines *bufio.Reader
	seen  map[string][]event // by id
}

// worker makes the runs in one worker, one after the other.
func (s session) worker(ctx context.Context, runs []*run) error {
	if !slices.ContainsFunc(runs, func(r *run) bool { return r.wants("worker") }) {
		return nil
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, s.program, "worker")
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c := &client{in: in, lines: bufio.NewReader(out), seen: map[string][]event{}}
	for _, r := range runs {
		if !r.wants("worker") {
			continue
		}
		o := newOutcome()
		r.outcomes["worker"] = o
		if o.err = c.make(r, o); errors.Is(o.err, io.EOF) || ctx.Err() != nil {
			return errors.Join(o.err, cmd.Wait(), fmt.Errorf("the worker died in %s: %s", r.name, said.Bytes()))
		}
	}
	return errors.Join(in.Close(), cmd.Wait())
}

// send sends a message.
func (c *client) send(id, kind string, request table, more table) error {
	m := table{"id": id, "type": kind, "request": request}
	for k, v := range more {
		m[k] = v
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = c.in.Write(append(line, '\n'))
	return err
}

// until reads events up to the first of a request that f accepts. An error of that request ends it, too.
func (c *client) until(id string, f func(event) bool) error {
	for k := 0; ; {
		for ; k < len(c.seen[id]); k++ {
			e := c.seen[id][k]
			if e.Event == "error" || e.Event == "failed" {
				return errors.New(e.Message)
			}
			if f(e) {
				return nil
			}
		}
		line, err := c.lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		c.seen[e.ID] = append(c.seen[e.ID], e)
	}
}

func named(name string) func(event) bool { return func(e event) bool { return e.Event == name } }

// make makes one run.
func (c *client) make(r *run, o *outcome) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if r.live != nil && r.live.step == 0 {
		if err := c.occupy(r); err != nil {
			return err
		}
	}
	file := r.file("worker")
	more := table{"deliver": table{"images": "both", "previews": r.previews}}
	kind, body := "batch", file
	if jobs := file["jobs"].([]any); len(jobs) == 1 {
		kind, body = "generate", jobs[0].(table)
		body["model"] = r.model
	}
	if err := c.send(r.name, kind, body, more); err != nil {
		return err
	}
	if err := c.change(r); err != nil {
		return err
	}
	if err := c.until(r.name, named("done")); err != nil {
		return err
	}
	for _, e := range c.seen[r.name] {
		if err := c.take(r, o, e); err != nil {
			return err
		}
	}
	delete(c.seen, r.name)
	return r.addLatents("worker", o)
}

// occupy has the worker compute something else for a while, so that the run has to wait.
func (c *client) occupy(r *run) error {
	job := table{"model": r.model, "prompt": "a grey square", "width": 128, "height": 128, "num_inference_steps": 100, "seed": 1}
	if err := c.send("wait "+r.name, "generate", job, nil); err != nil {
		return err
	}
	return c.until("wait "+r.name, named("started"))
}

// change changes an adapter of the run: before it begins, or while its first picture is computed.
func (c *client) change(r *run) error {
	if r.live == nil {
		return nil
	}
	if r.live.step > 0 {
		if err := c.until(r.name, named("progress")); err != nil {
			return err
		}
	}
	body := table{"target": r.name, "name": r.live.adapter}
	for k, v := range r.live.values {
		body[k] = v
	}
	id := "change " + r.name
	if err := c.send(id, "lora", body, nil); err != nil {
		return err
	}
	if err := c.until(id, named("done")); err != nil {
		return fmt.Errorf("changing the adapter: %w", err)
	}
	began := func(e event) bool { return e.Event == "image" || r.live.step == 0 && e.Event == "started" }
	if slices.ContainsFunc(c.seen[r.name], began) {
		return errors.New("the change came too late to be in a certain place")
	}
	return nil
}

// take takes over what an event tells.
func (c *client) take(r *run, o *outcome, e event) error {
	label := ""
	if e.Job < len(r.jobs) {
		label = r.jobs[e.Job].label
	}
	switch e.Event {
	case "warning":
		o.warnings = append(o.warnings, e.Message)
	case "progress":
		if len(r.jobs) == 1 && e.Stage == "denoise" && e.Step == e.Steps { // several jobs are queued while the first ones run
			o.batches[label] = append(o.batches[label], e.Batch)
		}
	case "preview":
		hash, _, err := hashEncoded(e.Data)
		if err != nil {
			return err
		}
		o.previews[previewKey(label, e.Index, e.Step)] = hash
	case "image":
		file, err := os.ReadFile(e.Path)
		if err != nil {
			return err
		}
		if !bytes.Equal(file, e.Data) {
			return fmt.Errorf("%s differs from what was sent", e.Path)
		}
		if err := o.addPNG(label, e, e.Data); err != nil {
			return err
		}
		o.pictures[len(o.pictures)-1].indeterminate = r.live != nil && r.live.step > 0 && e.Index == 0
	}
	return nil
}

func previewKey(label string, index, step int) string {
	return label + "/preview-" + strconv.Itoa(index) + "-step-" + strconv.Itoa(step)
}
