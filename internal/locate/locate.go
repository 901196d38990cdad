// Package locate finds the file that a text names: a path, a model that was fetched by name, or one in the folders of models. It makes no
// connection. A text that may mean two files is an error that lists both.
package locate

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Embedded stands for the file of the model that is part of the program. It is always this model.
const Embedded = "nano"

// Models makes a library of the models in folders and below them.
func Models(directories ...string) *library.Library {
	return library.New(library.Options{Directories: directories, Setting: "model_directories", What: "models",
		Extensions: modelname.WeightExtensions, Folder: modelfile.IsFolder})
}

// place is something that a text may mean.
type place struct {
	path string
	name string // what to write if this one is meant
}

// Find returns the path that a text means, for a model or one of its parts. files are the folders of models; nil: there are none. What is
// neither a name nor there is returned as it is: whoever opens it says best what is wrong. Errors are *library.Error.
func Find(text string, files *library.Library) (string, error) {
	if text == "" || text == Embedded || isRooted(text) {
		return text, nil
	}
	var listErr error
	var places []place
	if _, err := os.Stat(text); err == nil && !modelname.IsExplicit(text) {
		places = append(places, place{text, "." + string(filepath.Separator) + text})
	}
	found, pulledErr := hubcache.Found{}, error(nil)
	if !isPath(text) {
		found, pulledErr = Pulled(text)
	}
	switch {
	case isPath(text):
	case pulledErr == nil:
		places = append(places, place{found.Path, found.Name()})
	case !errors.Is(pulledErr, library.ErrNotFound) && !errors.Is(pulledErr, modelname.ErrName):
		return "", pulledErr
	}
	if files != nil && len(files.Directories()) > 0 && !modelname.IsExplicit(text) {
		var listed string
		listed, listErr = files.Find(text)
		switch {
		case listErr == nil:
			places = append(places, place{listed, listed})
		case errors.Is(listErr, library.ErrAmbiguous):
			return "", listErr
		}
	}
	places = different(places)
	switch len(places) {
	case 1:
		return places[0].path, nil
	case 0:
		if err := missing(text, pulledErr); err != nil {
			return "", err
		}
		return text, listErr
	}
	var names, words []string
	for _, p := range places {
		names = append(names, p.path)
		words = append(words, fmt.Sprintf("%s for %s", p.name, p.path))
	}
	return "", &library.Error{Kind: library.ErrAmbiguous, Name: text, Candidates: names,
		Message: fmt.Sprintf("%d models answer to this name; write %s", len(places), strings.Join(words, ", or "))}
}

// Also is library.Options.Also for models that were fetched. A name that was not is ErrNotFound if it is plainly one.
func Also(text string) (string, error) {
	if text == "" || isPath(text) {
		return "", nil
	}
	found, err := Pulled(text)
	switch {
	case err == nil:
		return found.Path, nil
	case errors.Is(err, modelname.ErrName) && !modelname.IsExplicit(text):
		return "", nil
	case errors.Is(err, library.ErrNotFound):
		return "", missing(text, err)
	}
	return "", err
}

// isRooted reports whether a text is a path by its beginning: a root, a dot or ~; or it ends as a folder's does.
func isRooted(text string) bool {
	return filepath.IsAbs(text) || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "~") || !modelname.IsExplicit(text) &&
		(strings.ContainsRune(text, '\\') || strings.HasSuffix(text, "/"))
}

// isPath reports whether a text is no name by its form: it is rooted, or it ends as the name of a file of weights does and has nothing of a
// name.
func isPath(text string) bool {
	return isRooted(text) || modelname.IsWeights(text) && !modelname.IsExplicit(text) && !strings.ContainsAny(text, ":@")
}

// different leaves out places that are one file.
func different(list []place) (out []place) {
	for _, p := range list {
		if !slices.ContainsFunc(out, func(q place) bool { return same(p.path, q.path) }) {
			out = append(out, p)
		}
	}
	return out
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// Pulled finds the model of a name that was fetched. Errors match modelname.ErrName or are *library.Error.
func Pulled(text string) (hubcache.Found, error) {
	registry, err := modelname.Load()
	if err != nil {
		return hubcache.Found{}, err
	}
	n, err := registry.Parse(text)
	if err != nil {
		return hubcache.Found{}, err
	}
	if n.Source == modelname.Web && n.Entry == nil && n.URL != modelname.PlainURL(n.URL) {
		return hubcache.Found{}, &library.Error{Kind: library.ErrAmbiguous, Name: n.String(), Message: "an address that names a model must " +
			"hold no token, since names are written into files; write it as here"}
	}
	return hubcache.FromEnv().Resolve(n)
}

// missing is the error of a name that stands for nothing here; nil of a text that may be a path only.
func missing(text string, pulled error) error {
	if isPath(text) {
		return nil
	}
	registry, err := modelname.Load()
	if err != nil {
		return err
	}
	_, known := registry.Lookup(text)
	failed, ok := errors.AsType[*library.Error](pulled)
	explicit := known || modelname.IsExplicit(text) || strings.ContainsAny(text, "@:")
	if ok && explicit {
		return failed
	}
	if modelname.IsExplicit(text) {
		return pulled // a wrong name
	}
	if ok && strings.Count(text, "/") == 1 { // it has the form of a repository
		hint := ""
		if near := words.Nearest(text, names(registry)); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", words.Quote(near))
		}
		return &library.Error{Kind: library.ErrNotFound, Name: text, Message: "there is no such file or folder, and no model of this name " +
			"was pulled" + hint + "; if it is a repository of Hugging Face, get it with \"daguerre models pull " + text + "\", or give --pull"}
	}
	if strings.ContainsAny(text, `/\`) || path.Ext(text) != "" {
		return nil
	}
	if near := words.Nearest(text, names(registry)); near != "" {
		return &library.Error{Kind: library.ErrNotFound, Name: text, Candidates: []string{near}, Message: fmt.Sprintf("there is no such file "+
			"or folder, and no model is called so; did you mean %s?", words.Quote(near))}
	}
	return nil
}

// names are all names of models that are known here.
func names(registry *modelname.Registry) []string {
	out := registry.Names()
	for _, f := range hubcache.FromEnv().List() {
		if f.Source == modelname.HuggingFace && !slices.Contains(out, f.Repository) {
			out = append(out, f.Repository)
		}
	}
	return out
}

// IsName reports whether a text names a model that can be pulled, and no path that is there.
func IsName(text string) bool {
	if text == "" || text == Embedded || isPath(text) {
		return false
	}
	if _, err := os.Stat(text); err == nil && !modelname.IsExplicit(text) {
		return false
	}
	registry, err := modelname.Load()
	if err != nil {
		return false
	}
	_, err = registry.Parse(text)
	return err == nil
}
