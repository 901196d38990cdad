package command

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
)

// arrange puts the flags of a command line before its other arguments, because the flag package stops at the first of these, and refuses
// commands and flags that do not exist with the nearest that do. "help a b" becomes "a b --help".
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	out, rest := []string{args[0]}, args[1:]
	if len(rest) > 0 && rest[0] == "help" {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	path, commands, flags := app.Name, app.Commands, app.Flags
	for {
		opts, tail, err := split(path, flags, rest, len(commands) == 0)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, opts...), tail
		if len(rest) == 0 || len(commands) == 0 {
			break
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			return nil, unknownCommand(path, rest[0], commands)
		}
		path, commands, flags = path+" "+commands[i].Name, commands[i].Subcommands, commands[i].Flags
		out, rest = append(out, rest[0]), rest[1:]
	}
	if len(rest) > 0 {
		out = append(append(out, "--"), rest...)
	}
	return out, nil
}

func unknownCommand(path, name string, commands []*cli.Command) error {
	if strings.HasPrefix(name, "-") {
		return usagef(path, "unknown flag %s", name)
	}
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	hint := words.DidYouMean(name, names)
	if hint == "" {
		hint = "; known are " + strings.Join(names, ", ")
	}
	return usagef(path, "unknown command %q%s", name, hint)
}

// split parts arguments into flags with their values and the others, of which the first ends it unless all are wanted.
func split(path string, flags []cli.Flag, args []string, all bool) (opts, plain []string, err error) {
	for len(args) > 0 {
		switch {
		case isFlag(args[0]):
			n, err := flagWidth(path, flags, args)
			if err != nil {
				return nil, nil, err
			}
			opts, args = append(opts, args[:n]...), args[n:]
		case !all:
			return opts, args, nil
		case args[0] == "--":
			return opts, append(plain, args[1:]...), nil
		default:
			plain, args = append(plain, args[0]), args[1:]
		}
	}
	return opts, plain, nil
}

// isFlag reports whether an argument is a flag; "-" alone and "--" are not.
func isFlag(s string) bool { return len(s) > 1 && s[0] == '-' && s != "--" }

// flagWidth returns how many arguments the flag at args[0] takes up, itself included.
func flagWidth(path string, flags []cli.Flag, args []string) (int, error) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	if name == "h" || name == "help" {
		return 1, nil
	}
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		var names []string
		for _, f := range flags {
			for _, n := range f.Names() {
				if len(n) > 1 {
					names = append(names, n)
				}
			}
		}
		hint := ""
		if near := words.Nearest(name, append(names, "help")); near != "" {
			hint = "; did you mean --" + near + "?"
		}
		return 0, usagef(path, "unknown flag %s%s", words.Clip(args[0]), hint)
	}
	if _, isBool := flags[i].(*cli.BoolFlag); isBool || hasValue {
		return 1, nil
	}
	if len(args) < 2 {
		return 0, usagef(path, "flag %s needs a value", args[0])
	}
	return 2, nil
}
