package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func requestCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:  "request",
		Usage: "check and rewrite run files and requests, without a model",
		Subcommands: []*cli.Command{
			requestValidateCommand(env), requestNormalizeCommand(env),
			{
				Name:      "schema",
				Usage:     "print the JSON Schema of run files and of the worker's requests",
				UsageText: "daguerre request schema [--casing camelCase]",
				Description: `Draft 2020-12, generated from the program's own types.

EXAMPLES:
   daguerre request schema > daguerre.schema.json`,
				Flags: []cli.Flag{casingFlag("snake_case")},
				Action: func(c *cli.Context) error {
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
					return printTo(env.Stdout, "%s\n", text)
				},
			},
			{
				Name:      "names",
				Usage:     "list what diffusers, AUTOMATIC1111 and ComfyUI call the keys",
				UsageText: "daguerre request names [--json]",
				Description: `These names may stand in the place of daguerre's own, in run files and in the worker's requests, in any casing.

EXAMPLES:
   daguerre request names`,
				Flags:  []cli.Flag{jsonFlag()},
				Action: bare("", func(c *cli.Context) error { return listNames(env, c.Bool("json")) }),
			},
		},
	}
}

func casingFlag(def string) cli.Flag {
	return &cli.StringFlag{Name: "casing", Usage: "of the keys: snake_case, camelCase or PascalCase", DefaultText: def}
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

func requestValidateCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "tell everything that is wrong with a run file or request",
		UsageText: "daguerre request validate FILE|- [--files] [--json]",
		Description: `Checks every key and value without reading a model; a model need not be named. - reads standard input, JSON or TOML.

EXAMPLES:
   daguerre request validate run.toml
   echo '{"prompt": "a fox", "cfgScale": 7}' | daguerre request validate - --json

` + exitCodesHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "files", Usage: "read the pictures and adapters that it names, too", DisableDefaultText: true},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			path, err := requestArgument(c)
			if err != nil {
				return err
			}
			return runRequestValidate(env, path, c.Bool("files"), c.Bool("json"))
		},
	}
}

func requestArgument(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", usagef(c.Command.HelpName, "give one run file, or - for standard input")
	}
	return c.Args().First(), nil
}

// readRun reads a run file or, for "-", standard input.
func readRun(env Env, path string) (request.Run, error) {
	if path != "-" {
		run, err := request.ReadFile(path)
		if err != nil && !errors.Is(err, request.ErrInvalid) {
			err = &inputError{err}
		}
		return run, err
	}
	data, err := io.ReadAll(io.LimitReader(env.Stdin, request.MaxFileBytes+1))
	if err != nil {
		return request.Run{}, &inputError{fmt.Errorf("standard input: %w", err)}
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return request.DecodeJSON(data)
	}
	return request.DecodeTOML(data)
}

// validity is what request validate --json prints.
type validity struct {
	Valid  bool            `json:"valid"`
	Jobs   int             `json:"jobs"`
	Casing request.Casing  `json:"casing,omitempty"`
	Errors []request.Error `json:"errors"`
	Notes  []string        `json:"notes"`
}

func runRequestValidate(env Env, path string, files, asJSON bool) error {
	run, err := readRun(env, path)
	if err == nil {
		err = checkRequest(&run, files)
	}
	var errs request.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	if asJSON {
		v := validity{Valid: err == nil, Jobs: len(run.Jobs), Casing: run.Casing, Errors: append([]request.Error{}, errs...),
			Notes: append([]string{}, run.Notes...)}
		if printed := printJSON(env.Stdout, v); printed != nil {
			return printed
		}
		if err != nil {
			return reported(err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, note := range run.Notes {
		if err := printTo(env.Stdout, "note: %s\n", note); err != nil {
			return err
		}
	}
	jobs := "1 job"
	if len(run.Jobs) != 1 {
		jobs = fmt.Sprintf("%d jobs", len(run.Jobs))
	}
	return printTo(env.Stdout, "%s: valid, %s\n", path, jobs)
}

// checkRequest checks a run whose model may be missing; with files it reads what the jobs name.
func checkRequest(run *request.Run, files bool) error {
	var errs request.Errors
	if err := run.ValidateJobs(); err != nil && !errors.As(err, &errs) {
		return err
	}
	checkJobs(*run, &errs)
	if len(errs) == 0 && files {
		named := run.Model.Model != ""
		if !named {
			run.Model.Model = pipeline.NanoModel
		}
		if err := pipeline.CheckRun(run); err != nil {
			return blameInput(err)
		}
	}
	return errs.Err()
}

func requestNormalizeCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "normalize",
		Usage:     "rewrite a run file or request with daguerre's own keys",
		UsageText: "daguerre request normalize FILE|- [--to json|toml] [--casing camelCase]",
		Description: `Keys of other programs and casings become daguerre's own, and what only repeats defaults goes. What is invalid is refused.

EXAMPLES:
   daguerre request normalize a1111.json --to toml > run.toml
   daguerre request normalize run.toml --to json --casing camelCase

` + exitCodesHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "json or toml", DefaultText: "as it was"},
			casingFlag("as it was"),
		},
		Action: func(c *cli.Context) error {
			path, err := requestArgument(c)
			if err != nil {
				return err
			}
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
			return runRequestNormalize(env, path, to, casing)
		},
	}
}

func runRequestNormalize(env Env, path, to string, casing request.Casing) error {
	run, err := readRun(env, path)
	if err == nil {
		err = checkRequest(&run, false)
	}
	if err != nil {
		return err
	}
	for _, note := range run.Notes {
		_, _ = fmt.Fprintln(env.Stderr, "note: "+note)
	}
	if to == "" {
		to = "toml"
		if strings.HasSuffix(strings.ToLower(path), ".json") || path == "-" {
			to = "json"
		}
	}
	var text []byte
	if to == "toml" {
		text, err = run.EncodeTOML()
	} else {
		if casing == "" {
			casing = run.Casing
		}
		text, err = run.EncodeJSON(casing)
	}
	if err != nil {
		return err
	}
	return printTo(env.Stdout, "%s", text)
}

// namedKey is what request names --json prints.
type namedKey struct {
	Table string `json:"table"`
	Name  string `json:"name"`
	From  string `json:"from"`
	Key   string `json:"key"`
	Doc   string `json:"doc,omitempty"`
}

func listNames(env Env, asJSON bool) error {
	list := []namedKey{}
	rows := [][]string{{"NAME", "OF", "KEY", ""}}
	for _, n := range request.Names() {
		list = append(list, namedKey{n.Table, n.Name, n.From, n.Key, n.Doc})
		name, key := n.Name, n.Key
		if n.Table != "" {
			name = n.Table + "." + name
			if key != "" {
				key = n.Table + "." + key
			}
		}
		rows = append(rows, []string{name, n.From, key, nameDoc(n)})
	}
	if asJSON {
		return printJSON(env.Stdout, list)
	}
	return printTable(env.Stdout, rows)
}

// nameDoc tells what happens to a name that is no key here.
func nameDoc(n request.Name) string {
	if n.Key == "" && n.Doc == "" {
		return "not offered; refused unless it asks for nothing"
	}
	return n.Doc
}
