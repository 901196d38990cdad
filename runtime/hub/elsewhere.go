package hub

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/rename"
	"github.com/daguerre-go/daguerre/internal/words"
)

// civitaiFile is a file of a version, as Civitai's API tells it.
type civitaiFile struct {
	Name    string  `json:"name"`
	SizeKB  float64 `json:"sizeKB"`
	Type    string  `json:"type"` // "Model", "VAE", "Training Data" ...
	Primary bool    `json:"primary"`
	URL     string  `json:"downloadUrl"`
	Hashes  struct {
		SHA256 string `json:"SHA256"`
	} `json:"hashes"`
}

// civitai fetches a version of a model of Civitai.
func (p *puller) civitai(ctx context.Context) (Model, error) {
	end, err := endpoint(envCivitaiEndpoint, civitaiEndpoint)
	if err != nil {
		return Model{}, err
	}
	token := civitaiToken()
	var version struct {
		ModelID int64         `json:"modelId"`
		Name    string        `json:"name"`
		Files   []civitaiFile `json:"files"`
		Model   struct {
			Name string `json:"name"`
		} `json:"model"`
	}
	if _, err := p.json(ctx, end.JoinPath("api", "v1", "model-versions", p.name.Revision), token, &version); err != nil {
		return Model{}, err
	}
	model := strconv.FormatInt(version.ModelID, 10)
	if p.name.Repository != "" && p.name.Repository != model {
		return Model{}, failed(ErrUnavailable, "%s: version %s is one of model %s", p.name, p.name.Revision, model)
	}
	p.name.Repository = model
	f, err := p.civitaiFile(version.Files)
	if err != nil {
		return Model{}, err
	}
	u, err := end.Parse(f.URL)
	if err != nil || u.Host == "" {
		return Model{}, failed(ErrDownload, "%s: Civitai tells no address of %s", p.name, words.Quote(f.Name))
	}
	if u.Host != end.Host || u.Scheme != end.Scheme {
		token = secret{} // it is for Civitai only
	}
	p.note("%s is %s, %s: %s", p.name, words.Quote(version.Model.Name), words.Quote(version.Name), words.Quote(f.Name))
	it := item{file: f.Name, url: u, token: token, want: hubcache.TreeFile{SHA256: strings.ToLower(f.Hashes.SHA256)}}
	if !isHex(it.want.SHA256) || len(it.want.SHA256) != 64 {
		return Model{}, failed(ErrUnverified, "%s: Civitai tells no SHA-256 of %s, so it cannot be verified", p.name, words.Quote(f.Name))
	}
	return p.single(ctx, it, int64(f.SizeKB*1024), p.name.Revision, "https://civitai.com/models/"+model+"?modelVersionId="+p.name.Revision)
}

// civitaiFile chooses a file of a version: the one that is named, or the one that Civitai offers first.
func (p *puller) civitaiFile(files []civitaiFile) (civitaiFile, error) {
	files = slices.DeleteFunc(slices.Clone(files), func(f civitaiFile) bool {
		return !modelname.GoodFile(f.Name) || strings.Contains(f.Name, "/") || !modelname.IsWeights(f.Name)
	})
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if p.name.File != "" {
		i := slices.Index(names, p.name.File)
		if i < 0 {
			return civitaiFile{}, failed(ErrUnavailable, "%s has no file %s%s; it has %s", p.name, words.Quote(p.name.File),
				words.DidYouMean(p.name.File, names), strings.Join(names, ", "))
		}
		return files[i], p.notPickle(names[i], nil)
	}
	if len(files) == 0 {
		return civitaiFile{}, failed(ErrUnavailable, "%s has no file of weights", p.name)
	}
	rank := func(f civitaiFile) int {
		n := 0
		if modelname.IsPickle(f.Name) {
			n += 4
		}
		if f.Type != "Model" && f.Type != "Pruned Model" {
			n += 2
		}
		if !f.Primary {
			n++
		}
		return n
	}
	best := slices.MinFunc(files, func(a, b civitaiFile) int { return cmp.Compare(rank(a), rank(b)) })
	if len(files) > 1 {
		p.note("%s has several files: %s; %s is taken, and --file names another one", p.name, strings.Join(names, ", "), best.Name)
	}
	return best, p.notPickle(best.Name, nil)
}

// web fetches the file of an address.
func (p *puller) web(ctx context.Context) (Model, error) {
	u, err := url.Parse(p.name.URL)
	if err != nil {
		return Model{}, failed(ErrName, "the address cannot be read")
	}
	file := p.name.File
	if !modelname.IsWeights(file) {
		return Model{}, failed(ErrName, "%s: %s is not the name of a file of weights (%s)", p.name, words.Quote(file),
			strings.Join(modelname.WeightExtensions, ", "))
	}
	if err := p.notPickle(file, nil); err != nil {
		return Model{}, err
	}
	want := strings.ToLower(p.o.SHA256)
	size := int64(0)
	if e := p.name.Entry; e != nil {
		want, size = cmp.Or(want, e.SHA256), e.Size
	}
	if want == "" {
		p.note("nobody tells the sum of this file, so only its length and its form are checked; give --sha256 if you know it")
	}
	it := item{file: file, url: u, want: hubcache.TreeFile{SHA256: want, Size: size}}
	return p.single(ctx, it, size, "", modelname.PlainURL(p.name.URL))
}

// single fetches a file that is a repository of its own. about is its size, as far as it is known. revision "" is made of the sum.
func (p *puller) single(ctx context.Context, it item, about int64, revision, source string) (Model, error) {
	repo := p.roots.Repo(p.name)
	unlock, err := p.lock(ctx, repo)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	if !p.o.Force {
		if m, done, err := p.present(); done || err != nil { // another process may have fetched it meanwhile
			return m, err
		}
	}
	space := it
	space.want.Size = about
	if it.want.SHA256 == "" {
		id := sha256.Sum256([]byte(source))
		space.want.SHA256 = "of-" + hex.EncodeToString(id[:8])
	}
	if err := p.room(repo, []item{space}); err != nil {
		return Model{}, err
	}
	f := p.file(it, part(repo, space.want.Sum()))
	if err := p.verified(ctx, f, it); err != nil {
		return Model{}, err
	}
	sum := f.SHA256()
	if err := rename.Replace(f.Part, repo.Blob(sum)); err != nil {
		return Model{}, failed(ErrWrite, "%w", err)
	}
	f.Forget()
	size := repo.BlobSize(sum)
	if revision == "" {
		revision = sum[:40]
	}
	err = repo.Point(revision, it.file, sum)
	if err == nil {
		err = repo.SetTree(revision, hubcache.Tree{Source: source, Files: map[string]hubcache.TreeFile{
			it.file: {Size: size, SHA256: sum, LFS: size}}})
	}
	if err == nil && p.name.Source == modelname.Web {
		err = repo.SetRef("main", revision)
	}
	if err != nil {
		return Model{}, failed(ErrWrite, "%w", err)
	}
	n := p.name
	if n.Source == modelname.Civitai {
		n.Revision = revision
	}
	return p.roots.Resolve(n)
}
