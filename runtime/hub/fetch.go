package hub

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's sums of small files, as the hub tells them
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/rename"
)

// agent is how the program calls itself to servers.
const agent = "daguerre"

// partSuffix ends the names of parts. huggingface_hub continues other ones, and only ones without gaps.
const partSuffix = ".daguerre"

// item is a file to fetch.
type item struct {
	file  string // in the repository
	want  hubcache.TreeFile
	url   *url.URL
	token secret
}

// part is where what came of an item stays.
func part(repo hubcache.Repo, sum string) string { return repo.Blob(sum) + partSuffix }

// room makes sure that the items fit on the disk. What came of them before counts.
func (p *puller) room(repo hubcache.Repo, items []item) error {
	need := int64(0)
	for _, it := range items {
		p.total += it.want.Size
		need += it.want.Size - download.Have(part(repo, it.want.Sum()))
	}
	dir := filepath.Dir(repo.Blob("x"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return failed(ErrWrite, "%w", err)
	}
	free, err := p.o.freeIn(dir)
	if err != nil {
		return err
	}
	if err := disk.Enough(dir, need, free); err != nil {
		return failed(ErrSpace, "%s: %w", p.name, err)
	}
	return nil
}

// get makes an item a blob with the right sum.
func (p *puller) get(ctx context.Context, repo hubcache.Repo, it item) error {
	sum := it.want.Sum()
	unlock, err := repo.Lock(ctx, sum, func() { p.note("another process fetches %s; waiting for it", it.file) })
	if err != nil {
		return err
	}
	defer unlock()
	blob := repo.Blob(sum)
	if st, err := os.Stat(blob); err == nil && (it.want.Size == 0 || st.Size() == it.want.Size) && !p.o.Force {
		p.done += it.want.Size
		return nil
	}
	if !repo.Links() && !p.o.Force && repo.Same(sum, it.want.Size) {
		if p.sumIs(ctx, blob, it.want) == nil {
			p.done += it.want.Size
			return nil
		}
		_ = os.Remove(blob)
	}
	f := p.file(it, part(repo, sum))
	if err := p.verified(ctx, f, it); err != nil {
		return err
	}
	if err := rename.Replace(f.Part, blob); err != nil {
		return failed(ErrWrite, "%w", err)
	}
	f.Forget()
	p.done += it.want.Size
	return nil
}

// file is the download of an item.
func (p *puller) file(it item, to string) *download.File {
	connections := p.o.Connections
	if connections == 0 {
		connections = 4
	}
	return &download.File{Client: p.client, URL: it.url, Header: it.token.header(), Agent: agent, Part: to, Patience: p.patience,
		Size: it.want.Size, Connections: connections, Chunk: p.o.chunk, Alone: p.o.alone, Sum: true,
		Note:     func(text string) { p.note("%s", text) },
		Progress: func(d download.Progress) { p.tell(it.file, d) }}
}

// tell tells how far all files are.
func (p *puller) tell(file string, d download.Progress) {
	if p.o.Progress == nil {
		return
	}
	p.say.Lock()
	defer p.say.Unlock()
	p.o.Progress(Progress{Stage: d.Stage, File: file, Done: p.done + d.Done, Total: max(p.total, d.Total), Had: p.had})
}

// verified fetches a file and compares its sum. One that was put together from pieces is fetched once more as a whole if its sum is wrong.
func (p *puller) verified(ctx context.Context, f *download.File, it item) error {
	for {
		p.had = p.done + download.Have(f.Part)
		if err := f.Run(ctx); err != nil {
			return p.explain(err, f.URL)
		}
		err := p.right(ctx, f, it)
		if err == nil {
			err = p.readable(f, it)
		}
		if err == nil {
			return nil
		}
		f.Discard() // what is wrong is of no use to anybody
		if !errors.Is(err, ErrUnverified) || !f.Pieces() || ctx.Err() != nil {
			return err
		}
		p.note("%s: the pieces do not belong together; it is fetched once more", it.file)
		f.Connections = 1
	}
}

// right compares the sums of a file.
func (p *puller) right(ctx context.Context, f *download.File, it item) error {
	if want := strings.ToLower(p.o.SHA256); want != "" && f.SHA256() != want {
		return failed(ErrUnverified, "%s has the SHA-256 %s, and %s was asked for; nothing was kept", it.file, f.SHA256(), want)
	}
	if e := p.name.Entry; e != nil && e.SHA256 != "" && f.SHA256() != e.SHA256 && p.ofEntry(it) {
		return failed(ErrUnverified, "%s has the SHA-256 %s, and %s stands for %s; nothing was kept", it.file, f.SHA256(), e.Name, e.SHA256)
	}
	if it.want.Sum() == "" {
		return nil // nobody knows it
	}
	if want := it.want.SHA256; want != "" {
		if f.SHA256() != want {
			return failed(ErrUnverified, "%s has the SHA-256 %s, where %s is expected; nothing was kept", it.file, f.SHA256(), want)
		}
		return nil
	}
	return p.sumIs(ctx, f.Part, it.want)
}

// ofEntry reports whether a file is the one that a well-known model's sum is of.
func (p *puller) ofEntry(it item) bool {
	return p.name.File != modelname.Whole && modelname.IsWeights(it.file)
}

// sumIs compares the sum of a file on the disk with the one that the hub tells, which may be git's.
func (p *puller) sumIs(ctx context.Context, path string, want hubcache.TreeFile) error {
	sum, err := fileSum(ctx, path, want, nil)
	if err == nil && sum != want.Sum() {
		err = failed(ErrUnverified, "the sum is %s, where %s is expected; nothing was kept", sum, want.Sum())
	}
	return err
}

// fileSum computes the kind of sum that the hub tells of a file.
func fileSum(ctx context.Context, path string, want hubcache.TreeFile, progress func(done int64)) (string, error) {
	if want.SHA256 != "" {
		return modelfile.HashFile(ctx, path, progress)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha1.New() //nolint:gosec // as above
	_, _ = fmt.Fprintf(h, "blob %d\x00", st.Size())
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readable makes sure that a file of weights is one, before it gets a name.
func (p *puller) readable(f *download.File, it item) error {
	if !modelname.IsWeights(it.file) {
		return nil
	}
	head := make([]byte, 256)
	part, err := os.Open(f.Part)
	if err != nil {
		return err
	}
	n, _ := io.ReadFull(part, head) // a short file is none of weights
	if err := part.Close(); err != nil {
		return err
	}
	text := strings.ToLower(strings.TrimSpace(string(head[:n])))
	if strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html") {
		return failed(ErrDownload, "%s: a web page came in the file's place; does the server want a login?", download.Shown(f.URL))
	}
	report, err := modelfile.Inspect(f.Part)
	if err != nil {
		return failed(ErrUnverified, "%s cannot be read as a model, and was not kept: %w", it.file, err)
	}
	for _, r := range report.Files {
		torch := r.Format == modelfile.FormatTorchZip || r.Format == modelfile.FormatTorchLegacy
		if torch && !modelname.IsPickle(it.file) && !p.pickles() {
			return failed(ErrPickle, "%s is a pickle under a false name, and was not kept", it.file)
		}
	}
	return nil
}

// pickles reports whether pickles are taken: the user asked for them, or the well-known model is one, and its sum is known.
func (p *puller) pickles() bool { return p.o.AllowPickle || p.name.Entry != nil && p.name.Entry.Pickle }

// notPickle refuses a pickle that nobody asked for.
func (p *puller) notPickle(file string, instead []string) error {
	if !modelname.IsPickle(file) || p.pickles() {
		return nil
	}
	hint := ""
	if len(instead) > 0 {
		hint = "; there is " + strings.Join(instead, ", ")
	}
	return failed(ErrPickle, "%s is a pickle, which can run code in other programs%s. To take it all the same, give --allow-pickle",
		file, hint)
}

// mostAnswer is the largest answer of an API that is read, in bytes.
const mostAnswer = 64 << 20

// json asks an API. It returns the head of the answer.
func (p *puller) json(ctx context.Context, u *url.URL, token secret, v any) (http.Header, error) {
	dir, err := os.MkdirTemp("", "daguerre-hub-")
	if err != nil {
		return nil, failed(ErrWrite, "%w", err)
	}
	defer os.RemoveAll(dir)
	f := &download.File{Client: p.client, URL: u, Header: token.header(), Agent: agent, Part: filepath.Join(dir, "answer"),
		Patience: p.patience, Most: mostAnswer, TooLarge: "no answer of a hub has", Note: func(text string) { p.note("%s", text) }}
	if err := f.Run(ctx); err != nil {
		return nil, p.explain(err, u)
	}
	text, err := os.ReadFile(f.Part)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return nil, failed(ErrDownload, "%s: the answer is no JSON of a hub", download.Shown(u))
	}
	return f.Answer(), nil
}

// explain says what a refusal of a hub means.
func (p *puller) explain(err error, u *url.URL) error {
	status, ok := errors.AsType[*download.StatusError](err)
	if !ok {
		return err
	}
	switch {
	case p.name.Source == modelname.Civitai && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden):
		return failed(ErrAccess, "%s: %w; its owner wants a login: set CIVITAI_TOKEN to a key of your account", p.name, status)
	case status.Code == http.StatusUnauthorized && p.name.Source == modelname.Web:
		return failed(ErrAccess, "%s: %w; the server wants a login", download.Shown(u), status)
	case status.Code == http.StatusUnauthorized && hubToken().none():
		return failed(ErrAccess, "%s: %w; there is no such repository, or it is private or gated: then set HF_TOKEN, or log in with "+
			"`hf auth login`", p.name, status)
	case status.Code == http.StatusUnauthorized:
		return failed(ErrAccess, "%s: %w; there is no such repository, or the token may not see it, or it has expired", p.name, status)
	case status.Code == http.StatusForbidden && p.name.Source == modelname.HuggingFace:
		return failed(ErrAccess, "%s: %w; its owner gives access: open %s in a browser, agree to the terms, and set HF_TOKEN",
			p.name, status, u.Scheme+"://"+u.Host+"/"+p.name.Repository)
	case status.Code == http.StatusForbidden || status.Code == http.StatusProxyAuthRequired:
		return failed(ErrAccess, "%s: %w", download.Shown(u), status)
	case status.Code == http.StatusNotFound && p.name.Source == modelname.HuggingFace:
		return failed(ErrUnavailable, "%s: %w; is the name right, and the revision?", p.name, status)
	}
	return err
}
