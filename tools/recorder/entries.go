package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	pictures "github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// entries are a recording: JSON values by keys such as t2i/cli/0/picture-0.
type entries map[string]json.RawMessage

// add adds one entry. The parts of its key that are empty are left out.
func (e entries) add(value any, key ...string) error {
	data, err := json.Marshal(value)
	e[path.Join(key...)] = data
	return err
}

// write writes the entries as one JSON object, sorted, one entry a line.
func (e entries) write(path string) error {
	var b bytes.Buffer
	sign := "{"
	for _, key := range slices.Sorted(maps.Keys(e)) {
		fmt.Fprintf(&b, "%s\n%q: %s", sign, key, e[key])
		sign = ","
	}
	b.WriteString("\n}\n")
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b.Bytes(), 0o644))
}

// compareFiles prints all differences of two recordings, those of pictures first. Any difference is an error.
func compareFiles(before, after string) error {
	var a, b entries
	if err := errors.Join(tool.ReadJSON(before, &a), tool.ReadJSON(after, &b)); err != nil {
		return err
	}
	var pictures, others []string
	for _, key := range differing(a, b) {
		if strings.Contains(key, "/picture-") || strings.Contains(key, "/preview-") {
			pictures = append(pictures, key)
		} else {
			others = append(others, key)
		}
	}
	show := func(title string, keys []string) {
		fmt.Printf("%s: %d differ\n", title, len(keys))
		for _, key := range keys {
			fmt.Printf("  %s\n    - %s\n    + %s\n", key, a[key], b[key])
		}
	}
	show("pictures", pictures)
	show("other entries", others)
	if n := len(pictures) + len(others); n > 0 {
		return fmt.Errorf("%d of %d entries differ", n, len(union(a, b)))
	}
	if len(a) == 0 {
		return errors.New("the recordings are empty")
	}
	fmt.Printf("all %d entries are equal\n", len(a))
	return nil
}

// differing lists the keys of which two recordings have different values, or one has none.
func differing(a, b entries) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(union(a, b))), func(key string) bool { return bytes.Equal(a[key], b[key]) })
}

func union(a, b entries) entries {
	all := entries{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// comparePictures prints the peak signal-to-noise ratio of two pictures in dB over all colour channels, +Inf for equal ones.
func comparePictures(first, second string, least float64) error {
	a, errA := pictures.Load(first)
	b, errB := pictures.Load(second)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	value, _, err := pictures.Difference(a, b)
	fmt.Printf("%.1f\n", value)
	if err == nil && value < least {
		err = fmt.Errorf("%.1f dB between %s and %s, wanted at least %g", value, first, second, least)
	}
	return err
}
