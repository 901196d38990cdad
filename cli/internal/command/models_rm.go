package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/hub"
)

// removeOptions is what models rm is asked to do.
type removeOptions struct {
	names []string
	display
}

func removeOptionsOf(c *cli.Context) (o removeOptions, err error) {
	o.names = c.Args().Slice()
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	if len(o.names) == 0 {
		return o, usagef(c.Command.HelpName, "give the names of the models to delete; daguerre models list lists them")
	}
	return o, nil
}

// resolved finds models by name, all before anything is done.
func resolved(names []string) ([]hub.Model, error) {
	var list []hub.Model
	var errs []error
	for _, name := range names {
		m, err := hub.Resolve(name)
		if err != nil && (m.Path == "" || !errors.Is(err, library.ErrUnreadable)) { // what is damaged is removed and verified, too
			errs = append(errs, err)
		}
		list = append(list, m)
	}
	return list, errors.Join(errs...)
}

// removedModel is what models rm tells of a model with --json.
type removedModel struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Freed int64  `json:"freed"` // bytes
}

func (o removeOptions) execute(ctx context.Context, env Env) error {
	list, err := resolved(o.names)
	if err != nil {
		return err
	}
	removed := []removedModel{}
	for _, m := range list {
		freed, err := hub.Remove(ctx, m)
		if err != nil {
			return &outputError{fmt.Errorf("removing %s: %w", m.Path, err)}
		}
		removed = append(removed, removedModel{m.Name(), m.Path, freed})
	}
	if o.json {
		return printJSON(env.Stdout, removed)
	}
	if o.quiet {
		return nil
	}
	var p page
	for _, r := range removed {
		p.line("removed %s: %s freed", r.Name, words.Bytes(r.Freed))
	}
	return p.print(env)
}

// verifyOptions is what models verify is asked to do.
type verifyOptions struct {
	names []string
	display
}

func verifyOptionsOf(c *cli.Context) (o verifyOptions, err error) {
	o.names = c.Args().Slice()
	o.display, err = displayOf(c)
	return o, err
}

// errWrongFiles ends models verify if a file is not what it should be.
var errWrongFiles = errors.New("files are not what they should be")

// verifiedModel is what models verify tells of a model with --json.
type verifiedModel struct {
	Name  string      `json:"name"`
	Path  string      `json:"path"`
	OK    bool        `json:"ok"`
	Files []hub.Check `json:"files"`
}

func (o verifyOptions) execute(ctx context.Context, env Env) error {
	list, err := resolved(o.names)
	if err != nil {
		return err
	}
	if len(o.names) == 0 {
		list = hub.List()
	}
	d := o.display
	r := d.reporter(env, "")
	if d.json {
		r = progress.Discard{}
	}
	step := counted(env, r)
	out, wrong := []verifiedModel{}, 0
	var p page
	for _, m := range list {
		checks, err := hub.Verify(ctx, m, func(done, total int64) { step(progress.StageVerify, done, total) })
		if err != nil {
			r.Close()
			return err
		}
		v := verifiedModel{m.Name(), m.Path, true, checks}
		known := 0
		for _, c := range checks {
			switch c.State {
			case hub.CheckOK:
				known++
			case hub.CheckUnknown:
				p.line("%s: %s: %s", v.Name, c.File, c.Problem)
			default:
				v.OK = false
				wrong++
				p.line("%s: %s: %s", v.Name, c.Path, c.Problem)
			}
		}
		if v.OK {
			p.line("%s: %d %s as the hub told", v.Name, known, words.Plural(known, "file"))
		}
		out = append(out, v)
	}
	r.Close()
	switch {
	case d.json:
		err = printJSON(env.Stdout, out)
	case !d.quiet || wrong > 0:
		err = p.print(env)
	}
	if err == nil && wrong > 0 {
		err = &inputError{fmt.Errorf("%d %w; \"daguerre models rm NAME\" removes a model, and \"daguerre models pull NAME\" fetches it again",
			wrong, errWrongFiles)}
	}
	return err
}
