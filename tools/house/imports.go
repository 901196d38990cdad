package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// marker names the comments in docs/architecture.md between which the drawing stands.
const marker = "packages"

// drawn tells whether a package is in the drawing: programs in tools and examples, which nothing imports, are left out.
func (p pack) drawn() bool {
	top, _, _ := strings.Cut(p.ImportPath, "/")
	return top != "tools" && top != "examples"
}

// draw writes the packages and who imports whom as a Mermaid flowchart, with a box for each top folder. So that the picture can be read,
// an import that others imply is no arrow; it stands in a comment of the drawing.
func draw(packages []pack) string {
	groups, arrows := map[string]string{}, ""
	for _, p := range packages {
		if !p.drawn() {
			continue
		}
		top, name, ok := strings.Cut(p.ImportPath, "/")
		if !ok {
			name = top
		}
		groups[top] += fmt.Sprintf("        %s[%s]\n", p.ImportPath, name)
		var direct, implied []string
		for _, i := range slices.Sorted(slices.Values(p.Imports)) {
			if slices.ContainsFunc(p.Imports, func(other string) bool { return other != i && reaches(packages, other, i) }) {
				implied = append(implied, i)
			} else {
				direct = append(direct, i)
			}
		}
		if len(direct) > 0 {
			arrows += fmt.Sprintf("    %s%s%s\n", p.ImportPath, arrow, strings.Join(direct, " & "))
		}
		if len(implied) > 0 {
			arrows += fmt.Sprintf("    %%%% %s%s%s\n", p.ImportPath, arrow, strings.Join(implied, " & "))
		}
	}
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart TD\n")
	for _, top := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(&b, "    subgraph %s_[%s]\n%s    end\n", top, top, groups[top])
	}
	b.WriteString(arrows + "```\n")
	return b.String()
}

const arrow = " --> "

// reaches tells whether a package imports another, directly or by others.
func reaches(packages []pack, from, to string) bool {
	at := slices.IndexFunc(packages, func(p pack) bool { return p.ImportPath == from })
	return at >= 0 && slices.ContainsFunc(packages[at].Imports, func(i string) bool { return i == to || reaches(packages, i, to) })
}

// check holds a part of a file against what it should be, and lists the lines in which they differ.
func check(path, marker, want string) error {
	p, err := tool.ReadPart(path, marker)
	if err != nil || p.Text == want {
		return err
	}
	have, wanted := strings.Split(p.Text, "\n"), strings.Split(want, "\n")
	text := path + " does not say who imports whom:"
	for _, side := range []struct {
		sign         string
		lines, other []string
	}{{"-", have, wanted}, {"+", wanted, have}} {
		for _, line := range side.lines {
			if !slices.Contains(side.other, line) {
				text += "\n  " + side.sign + " " + strings.TrimSpace(line)
			}
		}
	}
	return fmt.Errorf("%s\nis every new import meant? Then: go run ./tools/house -write", text)
}

// rulesMarker names the comments in .golangci.yml between which depguard's rules stand.
const rulesMarker = "imports"

// rulesOf are depguard's rules of who may import whom: for each package a strict list of all that it imports, but the standard library.
func rulesOf(packages []pack) string {
	var b strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&b, "        %s:\n          list-mode: strict\n          files: [\"**/%s/*.go\", \"!$test\"]\n"+
			"          allow:\n            - $gostd\n", strings.ReplaceAll(p.ImportPath, "/", "-"), p.ImportPath)
		for _, i := range slices.Sorted(slices.Values(p.Imports)) {
			fmt.Fprintf(&b, "            - %s%s$\n", module, i)
		}
		for _, l := range p.libraries {
			fmt.Fprintf(&b, "            - %s$\n", l)
		}
	}
	return b.String() + "        # " // the end marker's comment
}
