package hub

import (
	"context"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// Model is a model that was fetched: a file, or the folder of a diffusers model.
type Model = hubcache.Found

// Resolve finds the fetched model of a name. It makes no connection. Errors match ErrName, ErrNotPulled or ErrAmbiguous.
func Resolve(name string) (Model, error) {
	n, err := parse(name)
	if err != nil {
		return Model{}, err
	}
	return hubcache.FromEnv().Resolve(n)
}

// parse reads a name. Short ones are those of the list of well-known models.
func parse(name string) (modelname.Name, error) {
	registry, err := modelname.Load()
	if err != nil {
		return modelname.Name{}, err
	}
	return registry.Parse(name)
}

// List lists the fetched models, by repository and revision. It makes no connection.
func List() []Model { return hubcache.FromEnv().List() }

// Remove deletes a fetched model, and returns how many bytes that freed. Bytes that another revision uses stay.
func Remove(ctx context.Context, m Model) (freed int64, err error) {
	return hubcache.FromEnv().Remove(ctx, m)
}
