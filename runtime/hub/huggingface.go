package hub

import (
	"context"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
)

// hubRepo is a repository of Hugging Face that is asked.
type hubRepo struct {
	*puller
	end   *url.URL
	token secret
}

// huggingFace fetches from Hugging Face, or from a server that acts like it.
func (p *puller) huggingFace(ctx context.Context) (Model, error) {
	end, err := endpoint(EnvEndpoint, DefaultEndpoint)
	if err != nil {
		return Model{}, err
	}
	h := &hubRepo{p, end, hubToken()}
	ref := p.name.Revision
	if ref == "" {
		ref = "main"
	}
	commit, err := h.commit(ctx, ref)
	if err != nil {
		return Model{}, err
	}
	tree, err := h.tree(ctx, commit)
	if err != nil {
		return Model{}, err
	}
	names, err := p.choose(tree)
	if err != nil {
		return Model{}, err
	}
	repo := p.roots.Repo(p.name)
	unlock, err := p.lock(ctx, repo)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	if err := h.getAll(ctx, repo, commit, tree, names); err != nil {
		return Model{}, err
	}
	if err := repo.SetTree(commit, tree); err != nil {
		return Model{}, failed(ErrWrite, "%w", err)
	}
	if !hubcache.IsCommit(ref) {
		if now, err := h.commit(ctx, ref); err == nil && now != commit {
			p.note("%s has moved on from %s to %s since this pull began; pull again for the new one", ref, commit[:12], now[:12])
		}
		if err := repo.SetRef(ref, commit); err != nil {
			return Model{}, failed(ErrWrite, "%w", err)
		}
	}
	n := p.name
	if n.File = modelname.Whole; len(names) == 1 {
		n.File = names[0]
	}
	return p.found(n, commit)
}

// at is an address of the hub. The parts are escaped.
func (h *hubRepo) at(parts ...string) *url.URL {
	u := *h.end
	escaped := strings.TrimRight(u.EscapedPath(), "/")
	u.Path = strings.TrimRight(u.Path, "/") + "/" + strings.Join(parts, "/")
	for _, part := range parts {
		for piece := range strings.SplitSeq(part, "/") {
			escaped += "/" + url.PathEscape(piece)
		}
	}
	u.RawPath = escaped
	return &u
}

// refPart is a revision as one part of an address.
func (h *hubRepo) api(kind, ref string) *url.URL {
	u := h.at("api", "models", h.name.Repository, kind)
	u.RawPath = u.EscapedPath() + "/" + url.PathEscape(ref)
	u.Path += "/" + ref
	return u
}

// commit asks which commit a branch, tag or commit is.
func (h *hubRepo) commit(ctx context.Context, ref string) (string, error) {
	var info struct {
		SHA string `json:"sha"`
	}
	if _, err := h.json(ctx, h.api("revision", ref), h.token, &info); err != nil {
		return "", err
	}
	if !hubcache.IsCommit(info.SHA) {
		return "", failed(ErrDownload, "%s: the hub tells no commit of %s", h.name, ref)
	}
	return info.SHA, nil
}

// treeEntry is a file or folder as the hub's API tells it.
type treeEntry struct {
	Type string `json:"type"` // "file" or "directory"
	OID  string `json:"oid"`
	Size int64  `json:"size"`
	Path string `json:"path"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
	Xet string `json:"xetHash"`
}

var nextPage = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="next"`)

// mostPages bounds how many pages a listing has.
const mostPages = 1000

// tree lists the files of a commit.
func (h *hubRepo) tree(ctx context.Context, commit string) (hubcache.Tree, error) {
	t := hubcache.Tree{Files: map[string]hubcache.TreeFile{}}
	u := h.api("tree", commit)
	u.RawQuery = "recursive=true&expand=false"
	for range mostPages {
		var page []treeEntry
		head, err := h.json(ctx, u, h.token, &page)
		if err != nil {
			return t, err
		}
		for _, e := range page {
			if e.Type == "file" && modelname.GoodFile(e.Path) && isHex(e.OID) {
				f := hubcache.TreeFile{Size: e.Size, Blob: e.OID, Xet: e.Xet}
				if e.LFS != nil && isHex(e.LFS.OID) {
					f.SHA256, f.LFS, f.Size = e.LFS.OID, e.LFS.Size, e.LFS.Size
				}
				t.Files[e.Path] = f
			}
		}
		link := nextPage.FindStringSubmatch(strings.Join(head.Values("Link"), ","))
		if link == nil {
			return t, nil
		}
		next, err := u.Parse(link[1])
		if err != nil || next.Host != h.end.Host || next.Scheme != h.end.Scheme {
			return t, failed(ErrDownload, "%s: the hub's listing goes on at another server", h.name)
		}
		u = next
	}
	return t, failed(ErrDownload, "%s: the hub's listing does not end", h.name)
}

var hexDigits = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func isHex(sum string) bool { return hexDigits.MatchString(sum) }

// getAll fetches what is missing of the files, and names them when all are there.
func (h *hubRepo) getAll(ctx context.Context, repo hubcache.Repo, commit string, tree hubcache.Tree, names []string) error {
	var items []item
	var missing []string
	for _, name := range names {
		want := tree.Files[name]
		if repo.Has(commit, name, want.Size) && !h.o.Force {
			continue
		}
		missing = append(missing, name)
		if st := repo.BlobSize(want.Sum()); st < 0 || st != want.Size || h.o.Force {
			items = append(items, item{file: name, want: want, url: h.at(append([]string{h.name.Repository, "resolve", commit},
				strings.Split(name, "/")...)...), token: h.token})
		}
	}
	if err := h.room(repo, items); err != nil {
		return err
	}
	if h.total > 0 {
		h.note("fetching %s of %s@%s: %s", fileCount(names, items), h.name.Repository, commit[:12], words.Bytes(h.total))
	}
	for _, it := range items {
		if err := h.get(ctx, repo, it); err != nil {
			return err
		}
	}
	// What makes a folder a model comes last: a folder that is not whole is none.
	slices.SortStableFunc(missing, func(a, b string) int { return last(a) - last(b) })
	for _, name := range missing {
		if err := repo.Point(commit, name, tree.Files[name].Sum()); err != nil {
			return failed(ErrWrite, "%w", err)
		}
	}
	return nil
}

func fileCount(names []string, items []item) string {
	if len(names) == 1 {
		return names[0]
	}
	var files []string
	for _, it := range items {
		files = append(files, it.file)
	}
	return words.Thousands(len(files)) + " " + words.Plural(len(files), "file")
}

func last(name string) int {
	switch path.Base(name) {
	case "model_index.json":
		return 2
	case "config.json":
		return 1
	}
	return 0
}
