package command

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func printSchema(c *cli.Context, env Env) error {
	casing, err := casingOf(c, request.SnakeCase)
	if err == nil {
		err = noArgs(c, "")
	}
	if err != nil {
		return err
	}
	text, err := request.Schema(casing)
	if err != nil {
		return err
	}
	return printData(env.Stdout, append(text, '\n'))
}

// casingOf reads the flag.
func casingOf(c *cli.Context, def request.Casing) (request.Casing, error) {
	name := c.String("casing")
	for _, known := range request.Casings {
		if strings.EqualFold(name, string(known)) {
			return known, nil
		}
	}
	if c.IsSet("casing") {
		return "", usagef(c.Command.HelpName, "--casing %q is unknown; it is one of snake_case, camelCase, PascalCase", words.Clip(name))
	}
	return def, nil
}

// checkedRun reads and checks the run file that is the one argument or, for "-", standard input; with files also what it names.
func checkedRun(c *cli.Context, env Env, files bool) (request.Run, error) {
	run, err := readRun(env, request.Defaults{Job: request.Default()}, c.Args().First())
	var errs request.Errors
	if err != nil && !errors.As(err, &errs) {
		return run, err
	}
	var more request.Errors
	if other := checkRequest(&run, files); other != nil && (err == nil || !errors.As(other, &more)) {
		return run, other
	}
	for _, e := range more {
		if !slices.Contains(errs, e) {
			errs = append(errs, e)
		}
	}
	if err != nil && len(more) > 0 {
		err = &mistakes{config: c.Args().First(), errs: errs}
	}
	return run, err
}

// readRun reads a run file, or standard input for "-".
func readRun(env Env, d request.Defaults, path string) (request.Run, error) {
	if path != "-" {
		return readRunFile(d, path)
	}
	data, err := io.ReadAll(io.LimitReader(env.Stdin, request.MaxFileBytes+1))
	if err != nil {
		return request.Run{}, &inputError{fmt.Errorf("standard input: %w", err)}
	}
	if bytes.HasPrefix(bytes.TrimSpace(words.WithoutBOM(data)), []byte("{")) {
		return d.DecodeJSON(data)
	}
	return d.DecodeTOML(data)
}

// readRunFile reads a run file for every command. One that cannot be read is a matter of files, what stands in one of usage.
func readRunFile(d request.Defaults, path string) (request.Run, error) {
	run, err := request.ReadFileOver(d, path)
	if err != nil && !errors.Is(err, request.ErrInvalid) {
		err = &inputError{err}
	}
	return run, err
}

// validity is what request validate --json prints.
type validity struct {
	Valid  bool            `json:"valid"`
	Jobs   int             `json:"jobs"`
	Casing request.Casing  `json:"casing,omitempty"`
	Errors []request.Error `json:"errors"`
	Notes  []string        `json:"notes"`
}

func validateRequest(c *cli.Context, env Env) error {
	run, err := checkedRun(c, env, c.Bool("files"))
	var errs request.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	if c.Bool("json") {
		v := validity{Valid: err == nil, Jobs: len(run.Jobs), Casing: run.Casing, Errors: append([]request.Error{}, errs...),
			Notes: append([]string{}, run.Notes...)}
		if err != nil {
			err = reported(err)
		}
		return cmp.Or(printJSON(env.Stdout, v), err)
	}
	if err != nil {
		return err
	}
	var p page
	for _, note := range run.Notes {
		p.line("note: %s", note)
	}
	p.line("%s: valid, %d %s", c.Args().First(), len(run.Jobs), words.Plural(len(run.Jobs), "job"))
	return p.print(env)
}

// checkRequest checks a run whose model may be missing; with files it reads what the jobs name.
func checkRequest(run *request.Run, files bool) error {
	var errs request.Errors
	if err := run.ValidateJobs(); err != nil && !errors.As(err, &errs) {
		return err
	}
	checkJobs(*run, &errs)
	if len(errs) == 0 && files {
		run.Model.Model = cmp.Or(run.Model.Model, pipeline.NanoModel)
		if err := pipeline.CheckRun(run); err != nil {
			return blameInput(err)
		}
	}
	return errs.Err()
}

func normalizeRequest(c *cli.Context, env Env) error {
	casing, err := casingOf(c, "")
	if err != nil {
		return err
	}
	to := strings.ToLower(c.String("to"))
	if to != "" && to != "json" && to != "toml" {
		return usagef(c.Command.HelpName, "--to %q is unknown; it is json or toml", words.Clip(to))
	}
	if to == "toml" && casing != "" && casing != request.SnakeCase {
		return usagef(c.Command.HelpName, "TOML run files are written in snake_case; give --casing with --to json")
	}
	run, err := checkedRun(c, env, false)
	if err != nil {
		return err
	}
	for _, note := range run.Notes {
		_, _ = fmt.Fprintln(env.Stderr, "note: "+note)
	}
	if to == "" {
		to = "toml"
		if strings.HasSuffix(strings.ToLower(c.Args().First()), ".json") || c.Args().First() == "-" {
			to = "json"
		}
	}
	var text []byte
	if to == "toml" {
		text, err = run.EncodeTOML()
	} else {
		text, err = run.EncodeJSON(cmp.Or(casing, run.Casing))
	}
	if err != nil {
		return err
	}
	return printData(env.Stdout, text)
}

// namedKey is what request names --json prints.
type namedKey struct {
	Table string `json:"table"`
	Name  string `json:"name"`
	From  string `json:"from"`
	Key   string `json:"key"`
	Doc   string `json:"doc,omitempty"`
}

func listNames(c *cli.Context, env Env) error {
	list := []namedKey{}
	all := c.Bool("all")
	rows := [][]string{{"NAME", "OF", "KEY"}}
	if all {
		rows[0] = append(rows[0], "")
	}
	for _, n := range request.Names() {
		list = append(list, namedKey{n.Table, n.Name, n.From, n.Key, n.Doc})
		name, key := n.Name, n.Key
		if n.Table != "" {
			name = n.Table + "." + name
			if key != "" {
				key = n.Table + "." + key
			}
		}
		switch {
		case all:
			rows = append(rows, []string{name, n.From, key, nameDoc(n)})
		case key != "":
			rows = append(rows, []string{name, n.From, key})
		}
	}
	return printList(env, c.Bool("json"), list, rows)
}

// nameDoc tells what happens to a name that is no key here.
func nameDoc(n request.Name) string {
	if n.Key != "" || n.Doc != "" {
		return n.Doc
	}
	doc := "not offered; refused unless it asks for nothing"
	var idle []string
	for _, v := range n.Idle {
		if v != "" {
			idle = append(idle, fmt.Sprint(v))
		}
	}
	if len(idle) > 0 {
		doc += ": " + strings.Join(idle, ", ")
	}
	if n.Needs != "" {
		doc += "; without a " + n.Needs + " left out"
	}
	return doc
}
