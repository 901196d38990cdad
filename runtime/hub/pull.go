package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// Pull fetches a model, if it is not there, and tells where it is. Files get their names only when they are whole and have the right sum;
// a folder is named when all of its files are there. If ctx ends, the error is its own: what came stays, and the next Pull goes on from
// there. Two pulls of one model at once fetch it once. The other errors match those of this package.
func Pull(ctx context.Context, name string, o Options) (Model, error) {
	n, err := parse(name)
	if err != nil {
		return Model{}, err
	}
	if n, err = o.fill(n); err != nil {
		return Model{}, err
	}
	p := &puller{o: o, name: n, roots: o.cache(), patience: download.Patient, say: new(sync.Mutex)}
	if o.patience != nil {
		p.patience = *o.patience
	}
	if o.Stall > 0 {
		p.patience.Stall = o.Stall
	}
	if p.client = o.Client; p.client == nil {
		p.client = download.NewClient()
		defer p.client.CloseIdleConnections()
	}
	if !o.Force {
		if m, done, err := p.present(); done || err != nil {
			return m, err
		}
	}
	if hubcache.Offline() {
		return Model{}, failed(ErrOffline, "%s is not here, and HF_HUB_OFFLINE forbids connections", n)
	}
	switch n.Source {
	case modelname.Civitai:
		return p.civitai(ctx)
	case modelname.Web:
		return p.web(ctx)
	}
	return p.huggingFace(ctx)
}

// fill puts the options into the name.
func (o Options) fill(n modelname.Name) (modelname.Name, error) {
	if o.File != "" {
		if n.File != "" && n.File != o.File && n.Source == modelname.HuggingFace {
			return n, failed(ErrName, "%s names the file %s, and the option another one, %s", n, n.File, o.File)
		}
		if o.File != modelname.Whole && !modelname.GoodFile(o.File) {
			return n, failed(ErrName, "%q is no path of a file in a repository", o.File)
		}
		n.File = o.File
	}
	if o.Variant != "" {
		if n.Source != modelname.HuggingFace || n.File != "" && n.File != modelname.Whole {
			return n, failed(ErrName, "a variant is one of a repository's folder; %s names a file", n)
		}
		n.Variant, n.File = o.Variant, modelname.Whole
	}
	return n, nil
}

// puller is one call of Pull.
type puller struct {
	o        Options
	name     modelname.Name
	roots    hubcache.Roots
	client   *http.Client
	patience download.Patience

	say         *sync.Mutex
	done, total int64 // of the files before the one that is fetched, and of all
	had         int64
}

// present looks for the model on this machine.
func (p *puller) present() (m Model, done bool, err error) {
	m, err = p.roots.Resolve(p.name)
	switch {
	case err == nil && p.name.Variant != "": // the folder may have the other variant only
		return m, false, nil
	case err == nil:
		p.note("%s is there: %s", p.name, m.Path)
		return m, true, nil
	case errors.Is(err, library.ErrUnreadable):
		return m, false, err
	}
	return m, false, nil // it is fetched, or the server tells what there is
}

func (p *puller) note(format string, args ...any) {
	if p.o.Note == nil {
		return
	}
	p.say.Lock()
	defer p.say.Unlock()
	p.o.Note(fmt.Sprintf(format, args...))
}

// lock waits until no other pull or removal of the repository is at work.
func (p *puller) lock(ctx context.Context, repo hubcache.Repo) (unlock func(), err error) {
	unlock, err = repo.Lock(ctx, hubcache.WholeRepo, func() { p.note("another process is at work on %s; waiting for it", repo.Repository) })
	if err != nil && ctx.Err() == nil {
		err = failed(ErrWrite, "the folder of models cannot be written to: %w", err)
	}
	return unlock, err
}

// found is the model that was pulled.
func (p *puller) found(n modelname.Name, commit string) (Model, error) {
	n.Revision = commit
	return p.roots.Resolve(n)
}
