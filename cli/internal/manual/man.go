package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// PageName is the name of a command's manual page, without the section: "daguerre-models-convert".
func PageName(root, c *Command) string {
	return strings.ReplaceAll(strings.TrimSpace(root.Name+" "+c.Path), " ", "-")
}

// Pages makes the manual pages of root and of all its commands, by the names of their files.
func Pages(root *Command, version string) map[string]string {
	pages := map[string]string{}
	for _, c := range root.all() {
		pages[PageName(root, c)+".1"] = Page(root, c, version)
	}
	return pages
}

// Page makes the manual page of a command, for man(1).
func Page(root, c *Command, version string) string {
	var p page
	name := PageName(root, c)
	p.line(`.TH "%s" 1 "" "%s %s" "%s"`, roff(strings.ToUpper(name)), roff(root.Name), roff(version), "Daguerre")
	p.line(".nh\n.ad l") // names and flags stay in one piece
	p.heading("NAME")
	p.line(`%s \- %s`, roff(name), roff(c.Usage))
	p.heading("SYNOPSIS")
	for i, line := range strings.Split(synopsis(root, c), "\n") {
		if i > 0 {
			p.line(".br")
		}
		p.line("%s", roff(strings.TrimSpace(line)))
	}
	p.description(c.Description)
	p.commands(root, c)
	p.flags(c)
	p.seeAlso(root, c)
	return p.String()
}

// synopsis is how a command is called; one that only holds others is called with one of them.
func synopsis(root, c *Command) string {
	if c.Synopsis == "" {
		return root.Name + " " + c.Path + " COMMAND [flags]"
	}
	return c.Synopsis
}

// page is a manual page in roff.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) heading(title string) { p.line(`.SH "%s"`, roff(title)) }

// head is a line of a description that begins a part of its own.
var head = regexp.MustCompile(`^[A-Z][A-Z ]+:$`)

// description writes the text of the help. Its headings become headings. Examples and tables keep their lines, other text is filled.
func (p *page) description(text string) {
	if text == "" {
		return
	}
	if !head.MatchString(strings.SplitN(text, "\n", 2)[0]) {
		p.heading("DESCRIPTION")
	}
	kept := false
	keep := func(want bool) {
		if want != kept {
			p.line("%s", map[bool]string{true: ".nf", false: ".fi"}[want])
		}
		kept = want
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case head.MatchString(line):
			keep(false)
			title := strings.TrimSuffix(line, ":")
			p.heading(title)
			keep(title == "EXAMPLES" || title == "EXIT CODES")
		case strings.TrimSpace(line) == "":
			if !kept {
				p.line(".PP")
			}
		default:
			p.line("%s", roff(strings.TrimSpace(line)))
		}
	}
	keep(false)
}

// commands lists the commands below c.
func (p *page) commands(root, c *Command) {
	if len(c.Commands) == 0 {
		return
	}
	p.heading("COMMANDS")
	for _, sub := range c.Commands {
		p.line(".TP\n\\fB%s\\fR(1)\n%s", roff(PageName(root, sub)), roff(sub.Usage))
	}
}

// flags lists the flags by category, those without one first.
func (p *page) flags(c *Command) {
	p.heading("OPTIONS")
	var categories []string
	by := map[string][]Flag{}
	for _, f := range c.Flags {
		if f.Category != "" && by[f.Category] == nil {
			categories = append(categories, f.Category)
		}
		by[f.Category] = append(by[f.Category], f)
	}
	for _, category := range append([]string{""}, categories...) {
		if category != "" {
			p.line(`.SS "%s"`, roff(category))
		}
		for _, f := range by[category] {
			p.line(".TP\n\\fB%s\\fR\n%s", roff(f.Head), roff(f.Usage))
		}
	}
}

// seeAlso names the pages above and beside c.
func (p *page) seeAlso(root, c *Command) {
	if c.Path == "" {
		return
	}
	p.heading("SEE ALSO")
	refs := []string{root.Name}
	if i := strings.LastIndexByte(c.Path, ' '); i >= 0 {
		parent := root.Find(c.Path[:i])
		refs = append(refs, PageName(root, parent))
		for _, sub := range parent.Commands {
			if sub != c {
				refs = append(refs, PageName(root, sub))
			}
		}
	}
	for i, ref := range refs {
		refs[i] = fmt.Sprintf(`\fB%s\fR(1)`, roff(ref))
	}
	p.line("%s", strings.Join(refs, ", "))
}

// roff writes a text so that roff reads it as it is: a hyphen is one that can be typed, and no line is a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\"", `\(dq`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
