// Command rooms keeps the table of who may import whom. imports.txt lists every package of the module with all that it may import.
// From it the command writes depguard's rules in .golangci.yml, a strict list for each package. A test compares the table with the
// imports that there are, and the rules with the table.
//
//	go run ./tools/rooms           write the rules
//	go run ./tools/rooms -imports  write imports.txt from the imports that there are, then the rules
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/daguerre-go/daguerre/"

// Places, from the root of the repository.
const (
	tablePath = "tools/rooms/imports.txt"
	lintPath  = ".golangci.yml"
)

// room is a package and what it imports: packages of this module, and of others.
type room struct {
	name      string
	imports   []string
	libraries []string
}

func main() {
	fromCode := flag.Bool("imports", false, "write imports.txt from the imports that there are")
	flag.Parse()
	if err := run(".", *fromCode); err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", err)
		os.Exit(1)
	}
}

func run(root string, fromCode bool) error {
	if fromCode {
		rooms, err := listed(root)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, tablePath), []byte(table(rooms)), 0o644); err != nil {
			return err
		}
	}
	text, err := lint(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, lintPath), []byte(text), 0o644)
}

// lint returns the linter's configuration with the rules of the table.
func lint(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, tablePath))
	if err != nil {
		return "", err
	}
	rooms, err := parse(string(text))
	if err != nil {
		return "", err
	}
	old, err := os.ReadFile(filepath.Join(root, lintPath))
	if err != nil {
		return "", err
	}
	return between(string(old), rules(rooms))
}

// between puts a block between the lines with the marks.
func between(text, block string) (string, error) {
	head, rest, begun := strings.Cut(text, "rooms:begin")
	line, rest, _ := strings.Cut(rest, "\n")
	_, tail, ended := strings.Cut(rest, "rooms:end")
	if !begun || !ended {
		return "", errors.New("the marks rooms:begin and rooms:end are missing")
	}
	indent := rest[:len(rest)-len(tail)-len("rooms:end")]
	return head + "rooms:begin" + line + "\n" + block + indent[strings.LastIndex(indent, "\n")+1:] + "rooms:end" + tail, nil
}

// listed returns the packages that there are, those below first.
func listed(root string) ([]room, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var rooms []room
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return byFloor(rooms), nil
		} else if err != nil {
			return nil, err
		}
		r := room{name: strings.TrimPrefix(p.ImportPath, module)}
		for _, path := range p.Imports {
			if name, ours := strings.CutPrefix(path, module); ours {
				r.imports = append(r.imports, name)
			} else if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				r.libraries = append(r.libraries, path)
			}
		}
		rooms = append(rooms, r)
	}
}

// byFloor sorts rooms: whoever imports another one stands on a higher floor.
func byFloor(rooms []room) []room {
	floors := floorsOf(rooms)
	slices.SortStableFunc(rooms, func(a, b room) int { return floors[a.name] - floors[b.name] })
	return rooms
}

// floorsOf numbers the floors from 0; imports have no cycles.
func floorsOf(rooms []room) map[string]int {
	floors := map[string]int{}
	for range rooms {
		for _, r := range rooms {
			for _, i := range r.imports {
				floors[r.name] = max(floors[r.name], floors[i]+1)
			}
		}
	}
	return floors
}

// table is the text of imports.txt.
func table(rooms []room) string {
	var b strings.Builder
	b.WriteString("# Every package, what it imports of this module, and after the bar what it imports of others.\n" +
		"# A package may import only those that stand above it.\n")
	floors, floor := floorsOf(rooms), -1
	for _, r := range rooms {
		if floors[r.name] != floor {
			floor = floors[r.name]
			fmt.Fprintf(&b, "\n# floor %d\n", floor)
		}
		line := r.name + ":"
		if len(r.imports) > 0 {
			line += " " + strings.Join(r.imports, " ")
		}
		if len(r.libraries) > 0 {
			line += " | " + strings.Join(r.libraries, " ")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// parse reads imports.txt.
func parse(text string) ([]room, error) {
	var rooms []room
	known := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s: %q has no colon", tablePath, line)
		}
		imports, libraries, _ := strings.Cut(rest, "|")
		r := room{name: name, imports: strings.Fields(imports), libraries: strings.Fields(libraries)}
		for _, i := range r.imports {
			if !known[i] {
				return nil, fmt.Errorf("%s: %s imports %s, which stands below it or nowhere", tablePath, name, i)
			}
		}
		known[name] = true
		rooms = append(rooms, r)
	}
	return rooms, nil
}

// rules are depguard's: a strict list for each package.
func rules(rooms []room) string {
	var b strings.Builder
	for _, r := range rooms {
		fmt.Fprintf(&b, "        %s:\n          list-mode: strict\n          files: [\"**/%s/*.go\", \"!$test\"]\n"+
			"          allow:\n            - $gostd\n", strings.ReplaceAll(r.name, "/", "-"), r.name)
		for _, i := range r.imports {
			fmt.Fprintf(&b, "            - %s%s$\n", module, i)
		}
		for _, l := range r.libraries {
			fmt.Fprintf(&b, "            - %s$\n", l)
		}
	}
	return b.String()
}
