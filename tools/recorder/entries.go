package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entries are a recording: JSON values by keys such as t2i/cli/0/picture-0.
type entries map[string]json.RawMessage

// add adds one entry. The parts of its key that are empty are left out.
func (e entries) add(value any, key ...string) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	key = slices.DeleteFunc(key, func(s string) bool { return s == "" })
	e[strings.Join(key, "/")] = data
	return nil
}

// write writes the entries as one JSON object, sorted, one entry a line.
func (e entries) write(path string) error {
	var b bytes.Buffer
	for i, key := range slices.Sorted(maps.Keys(e)) {
		name, err := json.Marshal(key)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s\n%s: %s", map[bool]string{true: "{", false: ","}[i == 0], name, e[key])
	}
	b.WriteString("\n}\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func readEntries(path string) (entries, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e := entries{}
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

// compareFiles prints all differences of two recordings, those of pictures first. Any difference is an error.
func compareFiles(before, after string) error {
	a, err := readEntries(before)
	if err != nil {
		return err
	}
	b, err := readEntries(after)
	if err != nil {
		return err
	}
	var pictures, others []string
	for _, key := range slices.Sorted(maps.Keys(union(a, b))) {
		if bytes.Equal(a[key], b[key]) {
			continue
		}
		if strings.Contains(key, "/picture-") || strings.Contains(key, "/preview-") {
			pictures = append(pictures, key)
		} else {
			others = append(others, key)
		}
	}
	out := bufio.NewWriter(os.Stdout)
	for _, part := range []struct {
		name string
		keys []string
	}{{"pictures", pictures}, {"other entries", others}} {
		fmt.Fprintf(out, "%s: %d differ\n", part.name, len(part.keys))
		for _, key := range part.keys {
			fmt.Fprintf(out, "  %s\n", key)
			printLine(out, "-", a[key])
			printLine(out, "+", b[key])
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if n := len(pictures) + len(others); n > 0 {
		return fmt.Errorf("%d of %d entries differ", n, len(union(a, b)))
	}
	if len(a) == 0 {
		return errors.New("the recordings are empty")
	}
	fmt.Printf("all %d entries are equal\n", len(a))
	return nil
}

func union(a, b entries) entries {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func printLine(out *bufio.Writer, sign string, value json.RawMessage) {
	if value != nil {
		fmt.Fprintf(out, "    %s %s\n", sign, value)
	}
}
