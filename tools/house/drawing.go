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

// parse reads a drawing: its nodes, and its arrows as "a -> b".
func parse(drawing string) (nodes, arrows map[string]bool) {
	nodes, arrows = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(drawing) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "%%"))
		if from, to, ok := strings.Cut(line, arrow); ok {
			for name := range strings.SplitSeq(to, " & ") {
				arrows[from+" -> "+name] = true
			}
		} else if name, _, ok := strings.Cut(line, "["); ok && !strings.HasPrefix(line, "subgraph ") {
			nodes[name] = true
		}
	}
	return nodes, arrows
}

// checkDrawing holds the drawing in a file against the imports.
func checkDrawing(path string, packages []pack) error {
	p, err := tool.ReadPart(path, marker)
	if err != nil {
		return err
	}
	if p.Text == draw(packages) {
		return nil
	}
	haveNodes, haveArrows := parse(p.Text)
	wantNodes, wantArrows := parse(draw(packages))
	text := path + " does not draw the packages as they are:"
	differ := func(have, want map[string]bool, what string) {
		for _, x := range slices.Sorted(maps.Keys(have)) {
			if !want[x] {
				text += "\n  " + x + " " + what
			}
		}
	}
	differ(haveNodes, wantNodes, "is drawn and no package")
	differ(wantNodes, haveNodes, "is a package and not drawn")
	differ(haveArrows, wantArrows, "is drawn and not imported")
	differ(wantArrows, haveArrows, "is imported and not drawn")
	return fmt.Errorf("%s\nis every new import meant? Then: go run ./tools/house -write", text)
}
