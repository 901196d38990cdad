package command

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
)

const (
	pipeWidth  = 80  // of help that goes into a pipe or file
	mostWidth  = 110 // longer lines are hard to read
	leastWidth = 20
	textIndent = 3
	manyFlags  = 26 // of a command whose help is short unless more is asked for
)

// width is that of the terminal that results go to; 0: they go elsewhere.
func (env Env) width() int {
	if env.Width == nil {
		return 0
	}
	return env.Width()
}

// helpWidth is the width of help.
func (env Env) helpWidth() int {
	return max(min(cmp.Or(env.width(), pipeWidth), mostWidth), leastWidth)
}

// mainFlags are those that the short help of a command with many flags shows.
var mainFlags = []string{"prompt", "negative-prompt", "model", "output", "width", "height", "steps", "seed", "num-images", "config"}

// topic is a part of a command's help that --help=NAME shows: a category of flags, or a section of its description.
type topic struct {
	name, title string
	flags       []cli.Flag
	text        string
}

// helped is a command as its help tells it.
type helped struct {
	path, usage, synopsis, description string
	commands                           []*cli.Command
	topics                             []topic
	sections                           []topic // of the description
	count                              int     // flags
}

func helpedOf(app *cli.App, l line) helped {
	h := helped{path: l.path, usage: app.Usage, synopsis: app.Name + " COMMAND [flags]", description: app.Description, commands: app.Commands}
	flags := app.Flags
	if c := l.command; c != nil {
		h.usage, h.synopsis, h.description, h.commands, flags = c.Usage, c.UsageText, c.Description, c.Subcommands, c.Flags
		if h.synopsis == "" {
			h.synopsis = l.path + " COMMAND [flags]"
		}
	}
	h.commands = slices.DeleteFunc(slices.Clone(h.commands), func(c *cli.Command) bool { return c.Hidden })
	flags = append(slices.Clone(flags), helpFlag())
	h.count = len(flags)
	for _, f := range flags {
		title := f.(cli.CategorizableFlag).GetCategory()
		i := slices.IndexFunc(h.topics, func(t topic) bool { return t.title == title })
		if i < 0 {
			i = len(h.topics)
			h.topics = append(h.topics, topic{name: groupName(title), title: title})
		}
		h.topics[i].flags = append(h.topics[i].flags, f)
	}
	h.description, h.sections = sections(h.description)
	return h
}

// helpFlag is the flag that every command has.
func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, DisableDefaultText: true,
		Usage: "show help; --help=GROUP shows a group of flags, and --help=all everything"}
}

// groupName is how --help=GROUP calls a category of flags.
func groupName(title string) string {
	if name := groupNames[title]; name != "" {
		return name
	}
	return strings.ReplaceAll(strings.ToLower(title), " ", "-")
}

// sectionHead is a line of a description that begins a section.
var sectionHead = regexp.MustCompile(`(?m)^([A-Z][A-Z ]+):\n`)

// sections parts a description at its headings.
func sections(text string) (before string, list []topic) {
	at := sectionHead.FindAllStringSubmatchIndex(text+"\n", -1)
	if len(at) == 0 {
		return text, nil
	}
	text += "\n"
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		title := text[m[2]:m[3]]
		list = append(list, topic{name: strings.ReplaceAll(strings.ToLower(title), " ", "-"), title: title,
			text: strings.Trim(text[m[1]:end], "\n")})
	}
	return strings.TrimSpace(text[:at[0][0]]), list
}

// showHelp prints what --help asks for.
func showHelp(env Env, app *cli.App, l line) error {
	h := helpedOf(app, l)
	p := &helpPage{width: env.helpWidth()}
	switch {
	case l.help == helpAll || l.help == helpShort && h.count <= manyFlags:
		p.head(h)
		for _, t := range h.topics {
			p.flags(t, true)
		}
		for _, s := range h.sections {
			if s.title != "EXAMPLES" {
				p.section(s)
			}
		}
	case l.help == helpShort:
		p.head(h)
		p.short(h)
	default:
		topics := append(slices.Clone(h.topics), h.sections...)
		var names []string
		for _, t := range topics {
			if t.name == "" {
				continue
			}
			names = append(names, t.name)
			if words.Fold(t.name) == words.Fold(l.help) {
				p.topic(t)
				return printTo(env.Stdout, "%s", p.String())
			}
		}
		hint := words.DidYouMean(l.help, append(names, helpAll))
		return usagef(l.path, "--help=%s: there is no such group%s; known are %s", words.Clip(l.help), hint,
			strings.Join(append(names, helpAll), ", "))
	}
	return printTo(env.Stdout, "%s", p.String())
}

// helpPage is the text of a help.
type helpPage struct {
	strings.Builder
	width int
}

func (p *helpPage) line(s string) { p.WriteString(strings.TrimRight(s, " ") + "\n") }

// heading begins a part.
func (p *helpPage) heading(title string) {
	if p.Len() > 0 {
		p.line("")
	}
	p.line(title + ":")
}

// wrapped writes text behind an indent.
func (p *helpPage) wrapped(indent int, text string) {
	for _, line := range words.Wrap(text, p.width-indent) {
		p.line(strings.Repeat(" ", indent) + line)
	}
}

// head writes what a command is for, how it is called, with examples, and the commands below it.
func (p *helpPage) head(h helped) {
	p.wrapped(0, h.path+" - "+h.usage)
	p.heading("USAGE")
	for line := range strings.Lines(h.synopsis) {
		for i, part := range words.Wrap(line, p.width-2*textIndent-columnGap) {
			p.line(strings.Repeat(" ", textIndent*min(i+1, 2)) + part)
		}
	}
	if h.description != "" {
		p.line("")
		p.prose(0, h.description)
	}
	for _, s := range h.sections {
		if s.title == "EXAMPLES" {
			p.section(s)
		}
	}
	if len(h.commands) == 0 {
		return
	}
	p.heading("COMMANDS")
	var rows [][2]string
	for _, c := range h.commands {
		rows = append(rows, [2]string{c.Name, c.Usage})
	}
	p.pairs(rows)
}

// short writes the flags that matter most, and the names of the groups of all others.
func (p *helpPage) short(h helped) {
	var main topic
	for _, name := range mainFlags {
		for _, t := range h.topics {
			for _, f := range t.flags {
				if f.Names()[0] == name {
					main.flags = append(main.flags, f)
				}
			}
		}
	}
	main.title = "MAIN OPTIONS"
	p.flags(main, false)
	p.heading(fmt.Sprintf("MORE OPTIONS, %d IN ALL", h.count))
	var rows [][2]string
	for _, t := range h.topics {
		if t.name != "" {
			rows = append(rows, [2]string{"--help=" + t.name, flagList(t)})
		}
	}
	for _, s := range h.sections {
		if s.title != "EXAMPLES" {
			rows = append(rows, [2]string{"--help=" + s.name, strings.ToLower(s.title)})
		}
	}
	p.pairs(append(rows, [2]string{"--help=all", "everything"}))
}

// flagList describes a group of flags in a few words.
func flagList(t topic) string {
	text := strings.ToLower(t.title[:1]) + t.title[1:]
	var names []string
	for _, f := range t.flags {
		names = append(names, "--"+f.Names()[0])
	}
	const most = 3
	if len(names) > most {
		names = append(names[:most], "...")
	}
	return text + ": " + strings.Join(names, " ")
}

// topic writes one group or section.
func (p *helpPage) topic(t topic) {
	if t.flags != nil {
		p.flags(t, true)
		return
	}
	p.section(t)
}

// flags writes a group of flags.
func (p *helpPage) flags(t topic, aliases bool) {
	p.heading(strings.ToUpper(cmp.Or(t.title, "options")))
	var rows [][2]string
	for _, f := range t.flags {
		rows = append(rows, flagRow(f, aliases))
	}
	p.pairs(rows)
}

// flagRow is a flag as the help shows it: its names with its value, and what it is for. Without aliases only letters stand beside the name.
func flagRow(f cli.Flag, aliases bool) [2]string {
	var names []string
	for i, n := range f.Names() {
		switch {
		case len(n) == 1:
			names = append(names, "-"+n)
		case i == 0 || aliases:
			names = append(names, "--"+n)
		}
	}
	_, text, _ := strings.Cut(f.String(), "\t")
	head := strings.Join(names, ", ")
	if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() {
		head += " " + placeholder(f, d.GetUsage())
	}
	return [2]string{head, strings.TrimSpace(text)}
}

var quotedValue = regexp.MustCompile("`([^`]+)`")

// placeholder stands for a flag's value.
func placeholder(f cli.Flag, usage string) string {
	if m := quotedValue.FindStringSubmatch(usage); m != nil {
		return m[1]
	}
	switch f.(type) {
	case *cli.IntFlag, *cli.Int64Flag, *cli.Uint64Flag:
		return "N"
	case *cli.Float64Flag:
		return "X"
	case *cli.DurationFlag:
		return "TIME"
	}
	return "VALUE"
}

// pairs writes two columns. Where there is little room the second stands below the first.
func (p *helpPage) pairs(rows [][2]string) {
	const most, narrow = 28, 60
	column := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r[0]); n <= most {
			column = max(column, n)
		}
	}
	column += textIndent + columnGap
	for _, r := range rows {
		lines := words.Wrap(r[1], p.width-column)
		below := p.width < narrow || utf8.RuneCountInString(r[0])+textIndent+columnGap > column
		if p.width < narrow {
			lines = words.Wrap(r[1], p.width-2*textIndent)
			column = 2 * textIndent
		}
		if below {
			p.line(strings.Repeat(" ", textIndent) + r[0])
		} else {
			first := strings.Repeat(" ", textIndent) + r[0]
			p.line(first + strings.Repeat(" ", column-utf8.RuneCountInString(first)) + lines[0])
			lines = lines[1:]
		}
		for _, line := range lines {
			p.line(strings.Repeat(" ", column) + line)
		}
	}
}

// section writes a section of a description. Examples keep their lines, and so do tables; other text is filled.
func (p *helpPage) section(t topic) {
	p.heading(t.title)
	if t.title == "EXAMPLES" {
		for line := range strings.Lines(t.text) {
			for _, part := range words.WrapCommand(line, p.width-textIndent) {
				p.line(strings.Repeat(" ", textIndent) + part)
			}
		}
		return
	}
	p.prose(textIndent, t.text)
}

// tableLine is a line of a section with two columns.
var tableLine = regexp.MustCompile(`^\s*(\S+)\s{2,}(\S.*)$`)

// prose writes paragraphs, and lines of two columns.
func (p *helpPage) prose(indent int, text string) {
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			p.wrapped(indent, strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	const column = 5
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		m := tableLine.FindStringSubmatch(line)
		switch {
		case strings.TrimSpace(line) == "":
			flush()
			p.line("")
		case m != nil:
			flush()
			for i, part := range words.Wrap(m[2], p.width-indent-column) {
				p.line(strings.Repeat(" ", indent) + fmt.Sprintf("%-*s%s", column, word(i == 0, m[1], ""), part))
			}
		default:
			paragraph = append(paragraph, strings.TrimSpace(line))
		}
	}
	flush()
}
