package hubcache

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Resolve finds the pulled model of a name. Errors are *library.Error: ErrNotFound if it was not pulled, ErrAmbiguous if several models
// answer to the name.
func (r Roots) Resolve(n modelname.Name) (Found, error) {
	repo := r.Repo(n)
	commit, err := repo.revision(n)
	if err != nil {
		return Found{}, err
	}
	f, err := repo.choose(n, commit)
	if err != nil {
		return f, err
	}
	f.Refs = repo.Refs()[commit]
	return f, repo.check(n, f)
}

// pullHint is what helps where something was not pulled.
func pullHint(n modelname.Name) string {
	text, size := n.String(), "" // the name's own text may hold a token
	if e := n.Entry; e != nil {
		if text = e.Name; e.Size > 0 {
			size = " (" + words.Bytes(e.Size) + ")"
		}
	}
	return fmt.Sprintf("get it with \"daguerre models pull %s\"%s, or give --pull", text, size)
}

func notPulled(n modelname.Name, format string, args ...any) error {
	return &library.Error{Kind: library.ErrNotFound, Name: n.String(), Message: fmt.Sprintf(format, args...) + "; " + pullHint(n)}
}

func ambiguous(n modelname.Name, what string, names []string) error {
	return &library.Error{Kind: library.ErrAmbiguous, Name: n.String(), Candidates: names,
		Message: fmt.Sprintf("%d %s answer to this name; write one of %s", len(names), what, strings.Join(names, ", "))}
}

// revision finds the revision that a name means among those that are there.
func (r Repo) revision(n modelname.Name) (string, error) {
	have := r.Revisions()
	if len(have) == 0 {
		return "", notPulled(n, "it was not pulled")
	}
	ref := n.Revision
	if ref == "" {
		ref = "main"
	}
	if commit := r.Ref(ref); commit != "" && slices.Contains(have, commit) {
		return commit, nil
	}
	var hits, names []string
	for _, commit := range have {
		if n.Revision == "" || commit == ref || len(ref) >= 7 && IsCommit(commit) && strings.HasPrefix(commit, ref) {
			hits = append(hits, commit)
			names = append(names, Found{Origin: Origin{r.Source, r.Repository, commit, n.File}}.Name())
		}
	}
	switch {
	case len(hits) == 1 && n.Revision == "" && r.Source == modelname.HuggingFace:
		return "", &library.Error{Kind: library.ErrNotFound, Name: n.String(), Candidates: names,
			Message: fmt.Sprintf("only one revision was pulled, and it is not known to be the main one; write %s, or %s", names[0], pullHint(n))}
	case len(hits) == 1:
		return hits[0], nil
	case len(hits) > 1:
		return "", ambiguous(n, "revisions", names)
	}
	for i, commit := range have {
		have[i] = shortRevision(commit)
	}
	return "", notPulled(n, "revision %s was not pulled; there is %s", ref, strings.Join(have, ", "))
}

// choose finds the model in a revision.
func (r Repo) choose(n modelname.Name, commit string) (Found, error) {
	list := r.models(commit)
	if r.Source != modelname.HuggingFace {
		n.File = ""
	}
	switch n.File {
	case "":
	case modelname.Whole:
		list = slices.DeleteFunc(list, func(f Found) bool { return f.File != "" })
		if len(list) == 0 {
			return Found{}, notPulled(n, "the folder of this revision is no model, or not all of it was pulled")
		}
	default:
		if r.Has(commit, n.File, 0) {
			list = r.file(commit, n.File)
			break
		}
		var names []string
		for _, f := range list {
			names = append(names, f.File)
		}
		return Found{}, notPulled(n, "revision %s has no such file here%s", shortRevision(commit), words.DidYouMean(path.Base(n.File), names))
	}
	switch len(list) {
	case 0:
		return Found{}, notPulled(n, "nothing of it that holds weights was pulled")
	case 1:
		return list[0], nil
	}
	var names []string
	for _, f := range list {
		names = append(names, f.Name())
	}
	return Found{}, ambiguous(n, "models", names)
}

// file is a file that was named, whatever it is.
func (r Repo) file(commit, file string) []Found {
	for _, f := range r.models(commit) {
		if f.File == file {
			return []Found{f}
		}
	}
	var tree *Tree
	if t, err := r.Tree(commit); err == nil {
		tree = &t
	}
	return []Found{{Origin: Origin{r.Source, r.Repository, commit, file}, SHA256: r.sumOf(commit, file, tree),
		Path: filepath.Join(r.Snapshot(commit), filepath.FromSlash(file))}}
}

// check holds a file against what is known of it: the size that the revision tells, and the sum of a well-known model.
func (r Repo) check(n modelname.Name, f Found) error {
	if t, err := r.Tree(f.Revision); err == nil {
		for file, want := range t.Files {
			if (f.File == file || f.File == "" && modelname.IsWeights(file) && r.Has(f.Revision, file, 0)) && !r.Has(f.Revision, file, want.Size) {
				return &library.Error{Kind: library.ErrUnreadable, Name: n.String(), Message: fmt.Sprintf("%s has not the %s bytes that it must "+
					"have; remove it with \"daguerre models rm %s\" and pull it again", filepath.Join(r.Snapshot(f.Revision), filepath.FromSlash(file)),
					words.Thousands(want.Size), f.Name())}
			}
		}
	}
	if e := n.Entry; e != nil && e.SHA256 != "" && f.SHA256 != "" && e.SHA256 != f.SHA256 {
		return &library.Error{Kind: library.ErrUnreadable, Name: n.Text, Message: fmt.Sprintf("the file that was pulled, %s, has the SHA-256 "+
			"%s, and this name stands for %s; name it as %s if you mean it", f.Path, f.SHA256, e.SHA256, f.Name())}
	}
	return nil
}
