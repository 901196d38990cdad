package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
)

// client talks to a running worker.
type client struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	seen  map[string][]event // by id
}

// startWorker starts the worker that makes all runs, one after the other.
func startWorker(ctx context.Context, program string) (*client, error) {
	cmd := exec.CommandContext(ctx, program, "worker")
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	c := &client{cmd: cmd, in: in, lines: bufio.NewReader(out), seen: map[string][]event{}}
	return c, errors.Join(inErr, outErr, cmd.Start())
}

func (c *client) close() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// send sends a message.
func (c *client) send(id, kind string, message table) error {
	message["id"], message["type"] = id, kind
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = c.in.Write(append(line, '\n'))
	return err
}

// until reads events up to the first of a name that a request has. An error of that request ends it, too.
func (c *client) until(id, name string) error {
	for k := 0; ; k++ {
		for k == len(c.seen[id]) {
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
		switch e := c.seen[id][k]; e.Event {
		case "error", "failed":
			return errors.New(e.Message)
		case name:
			return nil
		}
	}
}

// make makes one run.
func (c *client) make(_ context.Context, r *run, o *outcome) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if err := c.occupy(r); err != nil {
		return err
	}
	kind, body := "batch", r.file("worker")
	if jobs := body["jobs"].([]any); len(jobs) == 1 {
		kind, body = "generate", jobs[0].(table)
		body["model"] = r.model
	}
	message := table{"request": body, "deliver": table{"images": "both", "previews": r.Previews}}
	if err := c.send(r.name, kind, message); err != nil {
		return err
	}
	if err := c.change(r); err != nil {
		return err
	}
	if err := c.until(r.name, "done"); err != nil {
		return err
	}
	for _, e := range c.seen[r.name] {
		if err := o.take(r, "worker", e); err != nil {
			return err
		}
	}
	delete(c.seen, r.name)
	return nil
}

// occupy has the worker compute something else for a while, where the run has to wait for a change.
func (c *client) occupy(r *run) error {
	if r.Live == nil || r.Live.Step > 0 {
		return nil
	}
	job := table{"model": r.model, "prompt": "a grey square", "width": 128, "height": 128, "num_inference_steps": 100, "seed": 1}
	return errors.Join(c.send("wait "+r.name, "generate", table{"request": job}), c.until("wait "+r.name, "started"))
}

// change changes an adapter of the run: before it begins, or while its first picture is computed.
func (c *client) change(r *run) error {
	if r.Live == nil {
		return nil
	}
	if r.Live.Step > 0 {
		if err := c.until(r.name, "progress"); err != nil {
			return err
		}
	}
	body := table{"target": r.name, "name": r.Live.Adapter}
	maps.Copy(body, r.Live.Values)
	id := "change " + r.name
	if err := errors.Join(c.send(id, "lora", table{"request": body}), c.until(id, "done")); err != nil {
		return fmt.Errorf("changing the adapter: %w", err)
	}
	began := func(e event) bool { return e.Event == "image" || r.Live.Step == 0 && e.Event == "started" }
	if slices.ContainsFunc(c.seen[r.name], began) {
		return errors.New("the change came too late to be in a certain place")
	}
	return nil
}
