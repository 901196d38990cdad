package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/install"
)

// installOptions is what install is asked to do.
type installOptions struct {
	list, prune bool
	options     install.Options
	display
}

// installOptionsOf reads the flags. What the archive and the sum may be, package install says.
func installOptionsOf(c *cli.Context) (installOptions, error) {
	o := installOptions{list: c.Bool("list"), prune: c.Bool("prune"), options: install.Options{Variant: c.String("variant"),
		From: c.String("from"), URL: c.String("url"), PublicKey: c.String("public-key"), SHA256: c.String("sha256"),
		NoVerify: c.Bool("no-verify"), Force: c.Bool("force")}}
	var err error
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	if o.list && o.prune {
		return o, usagef(c.Command.HelpName, "--list and --prune exclude each other")
	}
	for _, flag := range []string{"variant", "from", "force", "public-key", "sha256", "no-verify"} {
		if (o.list || o.prune) && c.IsSet(flag) {
			return o, usagef(c.Command.HelpName, "--%s says what to install, and --%s installs nothing", flag, word(o.list, "list", "prune"))
		}
	}
	return o, nil
}

func (o installOptions) execute(ctx context.Context, env Env) error {
	switch {
	case o.list:
		return o.printInstalled(env)
	case o.prune:
		return o.removeOthers(ctx, env)
	}
	r := o.reporter(env, "")
	return finish(r, o.install(ctx, env, r))
}

func (o installOptions) install(ctx context.Context, env Env, r progress.Reporter) error {
	began := env.Now()
	opt := o.options
	opt.Note = func(text string) { r.Report(progress.Note{Message: text}) }
	opt.Progress = func(p install.Progress) {
		r.Report(progress.Step{Stage: p.Stage, Done: p.Done, Total: p.Total, Seconds: env.Now().Sub(began).Seconds()})
	}
	r.Report(progress.Start{Version: Version()})
	result, err := env.Install(ctx, opt)
	for _, w := range result.Warnings {
		r.Report(progress.Warning{Message: w})
	}
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	seconds := env.Now().Sub(began).Seconds()
	if o.json {
		r.Report(progress.Result{Result: result})
	} else {
		r.Report(progress.File{Path: result.Library, Bytes: fileSize(result.Library), Seconds: seconds})
	}
	r.Report(progress.Done{Seconds: seconds})
	return nil
}

// installed is what install --list prints with --json.
type installed struct {
	Version   string              `json:"version"` // that this program needs
	URL       string              `json:"url"`     // of all releases
	Archives  []string            `json:"archives"`
	Installed []install.Installed `json:"installed"`
}

func (o installOptions) printInstalled(env Env) error {
	have, err := install.List()
	if err != nil {
		return &outputError{err}
	}
	list := installed{Version: install.Version, URL: cmp.Or(o.options.URL, install.Address()), Archives: install.ArchiveNames(),
		Installed: have}
	if o.json {
		return printJSON(env.Stdout, list)
	}
	var p page
	if len(have) == 0 {
		p.line("Your data folder has no libraries.")
	} else {
		p.table(versionRows(have))
	}
	p.line("\nThis program needs version %s. Its archives are below %s/v%s:", list.Version, strings.TrimRight(list.URL, "/"), list.Version)
	for _, name := range list.Archives {
		p.line("  %s", name)
	}
	return p.print(env)
}

func versionRows(list []install.Installed) [][]string {
	rows := [][]string{{"VERSION", "VARIANTS", "SIZE", "FOLDER"}}
	for _, i := range list {
		variants := slices.Clone(i.Variants)
		slices.Sort(variants)
		rows = append(rows, []string{i.Version + word(i.Current, " (this program's)", ""), strings.Join(variants, ", "), words.Bytes(i.Bytes),
			i.Folder})
	}
	return rows
}

func (o installOptions) removeOthers(ctx context.Context, env Env) error {
	removed, err := install.Prune(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &outputError{err}
	}
	if o.json {
		return printJSON(env.Stdout, removed)
	}
	if o.quiet {
		return nil
	}
	var p page
	for _, i := range removed {
		p.line("removed %s: version %s, %s", i.Folder, i.Version, words.Bytes(i.Bytes))
	}
	if len(removed) == 0 {
		p.line("There are no libraries of other versions in your data folder.")
	}
	return p.print(env)
}
