package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// peerVariant is SDXL in another runtime: "torch" or "openvino", a colon, and torch's name of a type. It has random weights
// of its own and makes no picture.
func peerVariant(name string) (variant, error) {
	runtime, dtype, ok := strings.Cut(name, ":")
	if !ok || runtime == "" || dtype == "" {
		return variant{}, fmt.Errorf("--peers: %q is not of the form torch:bfloat16", name)
	}
	return variant{name: runtime + " " + dtype, run: func(ctx context.Context, o options, _ string) (sample, error) {
		return runPeer(ctx, o, runtime, dtype)
	}}, nil
}

// runPeer runs tools/peers/peer.py.
func runPeer(ctx context.Context, o options, runtime, dtype string) (sample, error) {
	var p struct {
		Text   *float64  `json:"text_seconds"`
		Steps  []float64 `json:"step_seconds"`
		Decode *float64  `json:"decode_seconds"`
	}
	cmd := exec.CommandContext(ctx, o.python, "tools/peers/peer.py", "--runtime", runtime, "--dtype", dtype, "--size",
		strconv.Itoa(o.task.Size), "--steps", strconv.Itoa(o.task.Steps), "--threads", strconv.Itoa(o.threads), "--cache", o.peerCache)
	s, err := measure(ctx, o, cmd, func(line []byte) { _ = json.Unmarshal(line, &p) }) // libraries print lines of their own
	if err != nil {
		return s, err
	}
	if len(p.Steps) != o.task.Steps {
		return s, fmt.Errorf("tools/peers/peer.py reported %d steps of %d", len(p.Steps), o.task.Steps)
	}
	s.Steps = p.Steps
	for _, phase := range []struct{ from, to *float64 }{{p.Text, &s.Text}, {p.Decode, &s.Decode}} {
		if phase.from != nil {
			*phase.to = *phase.from
		}
	}
	return s, nil
}
