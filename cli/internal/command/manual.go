package command

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/manual"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// known are the words that shells complete.
func known() manual.Words {
	types := request.Types
	var uses []string
	for _, u := range scheduler.UseCases {
		uses = append(uses, string(u))
	}
	return manual.Words{
		Flags: map[string][]string{"scheduler": scheduler.Names(), "precision": request.Precisions, "unet-type": types, "text-type": types,
			"vae-type": types, "refiner-type": types},
		Arguments: map[string][]string{"completion": manual.Shells, "schedulers show": scheduler.Names(), "schedulers recommend": uses},
	}
}

// printCompletion prints the script for a shell.
func printCompletion(c *cli.Context, env Env) error {
	shell := c.Args().First()
	if !slices.Contains(manual.Shells, shell) {
		return usagef(c.Command.HelpName, "unknown shell %q; known are %s", shell, joined(manual.Shells))
	}
	script, err := manual.Completion(manual.Of(c.App, known()), shell)
	if err != nil {
		return err
	}
	return printTo(exact(env.Stdout), "%s", script)
}

// manOptions are what man is asked for.
type manOptions struct {
	root    *manual.Command
	command *manual.Command
	dir     string // where all pages are written; "": one page is printed
}

func manOptionsOf(c *cli.Context) (manOptions, error) {
	o := manOptions{root: manual.Of(c.App, manual.Words{}), dir: c.String("output")}
	path := strings.Join(c.Args().Slice(), " ")
	if path != "" && o.dir != "" {
		return o, usagef(c.Command.HelpName, "--output writes the pages of all commands; leave %q out", path)
	}
	if o.command = o.root.Find(path); o.command == nil {
		return o, usagef(c.Command.HelpName, "unknown command %q; %s --help lists the commands", path, name)
	}
	return o, nil
}

func (o manOptions) execute(ctx context.Context, env Env) error {
	if o.dir == "" {
		return printTo(exact(env.Stdout), "%s", manual.Page(o.root, o.command, Version()))
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return &outputError{err}
	}
	pages := manual.Pages(o.root, Version())
	for _, file := range slices.Sorted(maps.Keys(pages)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.dir, file), []byte(pages[file]), 0o644); err != nil {
			return &outputError{err}
		}
	}
	return nil
}
