package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// typedKey is the key of a context for the mistakes of its command line.
type typedKey struct{}

// withTyped gives the mistakes of a command line to a command that finds more, so that all are told at once.
func withTyped(ctx context.Context, errs request.Errors) context.Context {
	return context.WithValue(ctx, typedKey{}, errs)
}

// typedMistakes are those of withTyped.
func typedMistakes(ctx context.Context) request.Errors {
	errs, _ := ctx.Value(typedKey{}).(request.Errors)
	return slices.Clone(errs)
}

// gathers lists the commands that ask for typedMistakes.
var gathers = []string{name + " generate", name + " plan"}

// mistakes are everything that is wrong with a run: with its flags, with its run file, and with files that either names.
type mistakes struct {
	command string // whose --help tells more of flags
	config  string // the run file, or ""
	own     bool   // config is the file of the user's own defaults
	errs    request.Errors
}

// Error lists the mistakes, those of flags first. Lines of the run file say so.
func (m *mistakes) Error() string {
	var flags, keys []string
	for _, e := range m.errs {
		if m.config == "" || isTyped(e) {
			flags = append(flags, e.Error())
		} else {
			keys = append(keys, e.Error())
		}
	}
	var out []string
	file := "run file " + m.config
	switch {
	case m.own:
		file = "your own defaults, " + m.config
	case m.config == "-":
		file = "standard input"
	}
	switch {
	case len(m.errs) == 1 && m.config != "" && len(keys) == 1:
		out = []string{file + ": " + keys[0]}
	case len(m.errs) == 1:
		out = flags
	default:
		out = append(out, fmt.Sprintf("%d mistakes", len(m.errs)))
		out = append(out, flags...)
		if len(keys) > 0 {
			out = append(out, file+":")
			for _, k := range keys {
				out = append(out, "  "+k)
			}
		}
	}
	if m.own {
		out = append(out, strings.ToUpper(mendDefaults[:1])+mendDefaults[1:]+".")
	}
	if m.command != "" && slices.ContainsFunc(m.errs, func(e request.Error) bool { return isTyped(e) && !e.File }) {
		out = append(out, "See "+m.command+" --help.")
	}
	return strings.Join(out, "\n")
}

// Unwrap lets errors.As find the mistakes, and marks those that are all about files.
func (m *mistakes) Unwrap() []error {
	if !slices.ContainsFunc(m.errs, func(e request.Error) bool { return !e.File }) {
		return []error{&inputError{m.errs}, m.errs}
	}
	return []error{m.errs}
}

// isTyped reports whether a mistake is one of the command line.
func isTyped(e request.Error) bool {
	return strings.HasPrefix(e.Path, "-") || strings.HasPrefix(e.Message, "unknown flag")
}

// inWords puts mistakes into the words of the user: the flag where a flag was typed, or where there is no run file, and the key of the run
// file otherwise. job is the one that they are about; -1: their paths say it as they were written. Other errors stay as they are.
func (o generateOptions) inWords(job int, err error) error {
	var errs request.Errors
	if is[*mistakes](err) || !errors.As(err, &errs) {
		return err
	}
	out := &mistakes{command: o.command, config: o.config}
	for _, e := range errs {
		if !isTyped(e) && e.Path != "" {
			if path := o.run.Path(max(job, 0), e.Path); job >= 0 || strings.HasPrefix(path, "--") {
				e.Path = path
			}
		}
		if isTyped(e) {
			_, value, _ := strings.Cut(e.Path, " ") // of --lora NAME, which the message may repeat
			e.Message = withFlags(strings.TrimPrefix(e.Message, value+": "))
		}
		told := func(have request.Error) bool {
			return have.Path == e.Path && strings.HasPrefix(e.Message, "is missing")
		}
		if !slices.Contains(out.errs, e) && !slices.ContainsFunc(out.errs, told) {
			out.errs = append(out.errs, e)
		}
	}
	return out
}

// keyOfModel is how a message speaks of a key of [model].
var keyOfModel = regexp.MustCompile(`\b(?:as )?([a-z_0-9]+) (?:in|of) \[model\]|\[model\]'s ([a-z_0-9]+)`)

// keyWord is a word that can be nothing but a key.
var keyWord = regexp.MustCompile(`\b[a-z0-9]+(_[a-z0-9]+)+\b`)

// withFlags puts flags in the place of the keys that a message speaks of. Texts in quotes stay as they are.
func withFlags(message string) string {
	parts := strings.Split(message, `"`)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = keyOfModel.ReplaceAllStringFunc(parts[i], func(s string) string {
			m := keyOfModel.FindStringSubmatch(s)
			if flag := flagOf("model." + m[1] + m[2]); flag != "" {
				return word(strings.HasPrefix(s, "as "), "with ", "") + flag
			}
			return s
		})
		parts[i] = keyWord.ReplaceAllStringFunc(parts[i], func(s string) string {
			for _, key := range []string{s, "model." + s} {
				if flag := flagOf(key); flag != "" {
					return flag
				}
			}
			return s
		})
	}
	return strings.Join(parts, `"`)
}

// inFlags is a Reporter for a run without a run file: its warnings speak of flags.
type inFlags struct{ progress.Reporter }

// Report reports an event.
func (r inFlags) Report(e progress.Event) {
	if w, ok := e.(progress.Warning); ok {
		e = progress.Warning{Message: withFlags(w.Message)}
	}
	r.Reporter.Report(e)
}

// flagOf is the flag of a key; "": it has none.
func flagOf(key string) string {
	for _, s := range settings {
		if s.key == key {
			n, _ := s.names()
			return "--" + n
		}
	}
	return ""
}
