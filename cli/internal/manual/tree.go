// Package manual makes shell completions and manual pages from the commands of a program, so that both tell what its help tells.
package manual

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Command is a command with what may follow it.
type Command struct {
	Path        string // without the program: "models convert"; "" is the program itself
	Name        string
	Usage       string
	Synopsis    string // how it is called
	Description string
	Commands    []*Command
	Flags       []Flag
	Arguments   []string // words that may be arguments; nil: files are completed
}

// Flag is a flag with its names as they are typed.
type Flag struct {
	Names    []string // "--output", "-o"
	Head     string   // as in the help: "--output value, -o value"
	Usage    string   // as in the help, with the default
	Category string
	Valued   bool     // a value follows
	Choices  []string // words that are values; nil: files are completed
}

// Words are completed where they are known: by a flag's name, and by the path of a command for its arguments.
type Words struct {
	Flags, Arguments map[string][]string
}

// Of reads the commands of app. Hidden ones are left out.
func Of(app *cli.App, words Words) *Command {
	root := &Command{Name: app.Name, Usage: app.Usage, Synopsis: app.Name + " [COMMAND] [flags]", Description: app.Description,
		Flags: flagsOf(app.Flags, words)}
	root.Commands = commandsOf("", app.Commands, words)
	return root
}

func commandsOf(parent string, commands []*cli.Command, words Words) (list []*Command) {
	for _, c := range commands {
		if c.Hidden || c.Name == "help" {
			continue
		}
		path := strings.TrimSpace(parent + " " + c.Name)
		list = append(list, &Command{Path: path, Name: c.Name, Usage: c.Usage, Synopsis: c.UsageText, Description: c.Description,
			Commands: commandsOf(path, c.Subcommands, words), Flags: flagsOf(c.Flags, words), Arguments: words.Arguments[path]})
	}
	return list
}

// flagsOf reads flags, and adds the one for help that every command has.
func flagsOf(flags []cli.Flag, words Words) (list []Flag) {
	for _, f := range append(withoutHelp(flags), cli.Flag(&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help",
		DisableDefaultText: true})) {
		head, usage, _ := strings.Cut(f.String(), "\t")
		flag := Flag{Head: head, Usage: strings.TrimSpace(usage), Choices: words.Flags[f.Names()[0]]}
		for _, name := range f.Names() {
			flag.Names = append(flag.Names, dashed(name))
		}
		if d, ok := f.(cli.DocGenerationFlag); ok {
			flag.Valued = d.TakesValue()
		}
		if c, ok := f.(cli.CategorizableFlag); ok {
			flag.Category = c.GetCategory()
		}
		list = append(list, flag)
	}
	return list
}

// withoutHelp leaves out the flag that cli itself adds to a command that runs.
func withoutHelp(flags []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool { return f.Names()[0] == "help" })
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// all lists c and every command below it.
func (c *Command) all() []*Command {
	list := []*Command{c}
	for _, sub := range c.Commands {
		list = append(list, sub.all()...)
	}
	return list
}

// Find returns the command at a path, or nil.
func (c *Command) Find(path string) *Command {
	all := c.all()
	if i := slices.IndexFunc(all, func(c *Command) bool { return c.Path == path }); i >= 0 {
		return all[i]
	}
	return nil
}
