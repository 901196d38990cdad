// Package tool is what several of the programs in tools share.
package tool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Exit ends a program: with 0, or with its name, the error and 1.
func Exit(name string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Output runs a program and returns what it prints. The error has what it wrote to standard error.
func Output(cmd *exec.Cmd) ([]byte, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Args[0]), err, strings.TrimSpace(said.String()))
	}
	return out, err
}

// Header prints the head of a Markdown table.
func Header(columns ...string) {
	fmt.Printf("| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}

// Part is what stands in a file between the marker comments of a name: <!-- NAME: begin --> and <!-- NAME: end -->.
type Part struct {
	Text         string
	before, from string
}

// ReadPart finds a part of a file.
func ReadPart(path, name string) (Part, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Part{}, err
	}
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
	before, rest, begins := strings.Cut(string(data), begin)
	text, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return Part{}, fmt.Errorf("%s lacks %q or %q", path, strings.TrimSpace(begin), end)
	}
	return Part{Text: text, before: before + begin, from: end + after}, nil
}

// WritePart puts text in the place of a part of a file.
func WritePart(path, name, text string) error {
	p, err := ReadPart(path, name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(p.before+text+p.from), 0o644)
}

// WriteJSON writes a value as indented JSON.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// ReadJSON reads a value from a file. The error names the file.
func ReadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Plan is what is read of `daguerre plan --json`.
type Plan struct {
	Fits     bool
	Strategy json.RawMessage
	Window   int64 `json:"stream_bytes"`
	Jobs     []struct {
		Batch     int
		Breakdown struct {
			Stages []struct {
				Items []struct {
					Device, Use string
					Bytes       int64
				}
			}
		}
	}
	Sizes []struct{ Width, Height, Images int }
	Peaks []struct {
		Device, Stage string
		Bytes         int64
	}
	Smallest int64 `json:"smallest_limit"`
	Error    string
}

// HostPeak is the planned peak of the host, and the stage in which it is.
func (p Plan) HostPeak() (int64, string) {
	for _, x := range p.Peaks {
		if x.Device == "cpu" {
			return x.Bytes, x.Stage
		}
	}
	return 0, ""
}
