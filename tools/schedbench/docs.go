package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

const (
	tableBegin = "<!-- measured: begin -->\n"
	tableEnd   = "<!-- measured: end -->"
)

// writeDocs replaces the table between the markers by that of the embedded database.
func writeDocs(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(data), tableBegin)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks %q or %q", path, strings.TrimSpace(tableBegin), tableEnd)
	}
	return os.WriteFile(path, []byte(head+tableBegin+scheduler.Measured().Markdown()+tableEnd+tail), 0o644)
}
