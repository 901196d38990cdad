package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// line is a command line as arrange understands it.
type line struct {
	args     []string       // for the flag package, which stops at the first argument that is no flag: flags come first
	path     string         // of the command: "daguerre models convert"
	command  *cli.Command   // nil: the program itself
	help     string         // what --help asks for: a group of flags, helpShort or helpAll; "": there is none
	mistakes request.Errors // in the flags; args has none of those that are wrong
}

// What --help asks for unless it names a group.
const (
	helpShort = "short"
	helpAll   = "all"
)

// arrange reads a command line. It collects everything that is wrong with the flags, and names the nearest that exist. A command that does
// not exist is the error. "help a b" is "a b --help".
func arrange(app *cli.App, args []string) (line, error) {
	l := line{path: app.Name}
	if len(args) == 0 {
		return l, nil
	}
	rest := args[1:]
	l.args = []string{args[0]}
	if len(rest) > 0 && rest[0] == "help" {
		rest, l.help = rest[1:], helpShort
	}
	commands, flags := app.Commands, app.Flags
	for {
		s := splitter{line: &l, commands: app.Commands, flags: flags, seen: map[string]string{}}
		var plain []string
		plain, rest = s.split(rest, len(commands) == 0)
		l.args = append(l.args, s.opts...)
		if len(commands) == 0 && len(plain) > 0 {
			l.args = append(append(l.args, "--"), plain...)
		}
		if len(rest) == 0 {
			return l, nil
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 && len(l.mistakes) > 0 {
			return l, nil // it is more likely the value of a flag that does not exist
		}
		if i < 0 {
			return l, unknownCommand(l.path, rest[0], commands)
		}
		l.command = commands[i]
		l.path += " " + l.command.Name
		commands, flags = l.command.Subcommands, l.command.Flags
		l.args, rest = append(l.args, rest[0]), rest[1:]
	}
}

func unknownCommand(path, name string, commands []*cli.Command) error {
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
	return usagef(path, "unknown command %q%s", words.Clip(name), hint)
}

// splitter parts the arguments of one command.
type splitter struct {
	*line
	commands []*cli.Command // of the program
	flags    []cli.Flag
	opts     []string          // flags that are right, with their values
	seen     map[string]string // how each flag was typed, by its first name
}

// split parts arguments into flags and the others, of which the first ends it unless all are wanted.
func (s *splitter) split(args []string, all bool) (plain, rest []string) {
	for len(args) > 0 {
		switch {
		case isFlag(args[0]):
			args = args[s.take(args):]
		case !all:
			return plain, args
		case args[0] == "--":
			return append(plain, args[1:]...), nil
		default:
			plain, args = append(plain, args[0]), args[1:]
		}
	}
	return plain, nil
}

// isFlag reports whether an argument is a flag; "-" alone and "--" are not.
func isFlag(s string) bool { return len(s) > 1 && s[0] == '-' && s != "--" }

// take reads the flag at args[0], and returns how many arguments it takes up.
func (s *splitter) take(args []string) int {
	typed, value, hasValue := strings.Cut(args[0], "=")
	name := strings.TrimLeft(typed, "-")
	if name == "h" || name == "help" {
		s.help = helpShort
		if hasValue && value != "" {
			s.help = value
		}
		return 1
	}
	next := len(args) > 1 && !isFlag(args[1])
	i := indexFlag(s.flags, name)
	if i < 0 {
		s.mistakes.Add("", "unknown flag %s%s", words.Clip(typed), s.hint(name))
		if next && !hasValue && s.command != nil && len(s.command.Subcommands) == 0 {
			return 2 // what follows is more likely its value than anything else
		}
		return 1
	}
	flag, width := s.flags[i], 1
	if _, isBool := flag.(*cli.BoolFlag); !isBool && !hasValue {
		if len(args) < 2 {
			s.mistakes.Add(typed, "needs a value")
			return 1
		}
		if args[1] == "--help" {
			s.help = helpShort
		}
		if s.known(args[1]) {
			s.mistakes.Add(typed, "needs a value before %s", words.Clip(args[1]))
			return 1
		}
		value, hasValue, width = args[1], true, 2
	}
	first, isList := s.seen[flag.Names()[0]], false
	if _, isList = flag.(*cli.StringSliceFlag); first != "" && !isList {
		s.mistakes.Add(typed, "is given twice%s; leave one out", word(first == typed, "", ", also as "+first))
		return width
	}
	s.seen[flag.Names()[0]] = typed
	if problem := valueProblem(flag, value, hasValue); problem != "" {
		s.mistakes.Add(typed, "is %q; it must be %s", words.Clip(value), problem)
		return width
	}
	s.opts = append(s.opts, args[:width]...)
	return width
}

// known reports whether an argument is the long name of a flag of this command.
func (s *splitter) known(arg string) bool {
	name, long := strings.CutPrefix(arg, "--")
	name, _, _ = strings.Cut(name, "=")
	return long && indexFlag(s.flags, name) >= 0
}

func indexFlag(flags []cli.Flag, name string) int {
	return slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// hint says what an unknown flag may have been meant to be.
func (s *splitter) hint(name string) string {
	if other := foreignFlag(s.path, name); other != "" {
		return "; " + other
	}
	var names []string
	for _, f := range s.flags {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	if near := words.Nearest(name, append(names, "help")); near != "" {
		return "; did you mean --" + near + "?"
	}
	for _, c := range s.commands {
		if len(name) > 1 && !c.Hidden && indexFlag(c.Flags, name) >= 0 {
			return "; daguerre " + c.Name + " has it"
		}
	}
	return ""
}

// valueProblem says what a flag's value must be; "": it is right.
func valueProblem(flag cli.Flag, value string, given bool) string {
	var err error
	want := "a whole number"
	switch flag.(type) {
	case *cli.IntFlag, *cli.Int64Flag:
		_, err = strconv.ParseInt(value, 0, 64)
	case *cli.Uint64Flag:
		_, err = strconv.ParseUint(value, 0, 64)
		want += " of 0 or more"
	case *cli.Float64Flag:
		_, err = strconv.ParseFloat(value, 64)
		want = "a number"
	case *cli.DurationFlag:
		_, err = time.ParseDuration(value)
		want = "a time such as 90s or 5m"
	case *cli.BoolFlag:
		if given {
			_, err = strconv.ParseBool(value)
		}
		want = "true or false"
	}
	if err == nil {
		return ""
	}
	if n, ok := err.(*strconv.NumError); ok && n.Err == strconv.ErrRange {
		want = fmt.Sprintf("%s, and this is far out of range", want)
	}
	if point := words.DecimalPoint(value); point != "" && want == "a number" {
		want += fmt.Sprintf(" with a point: %s", point)
	}
	return want
}
