package recall

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	near "github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// candidate is a file that may be the one that is looked for.
type candidate struct {
	name, path, sum string // sum: "" if it is not known yet
	size            int64
}

// search looks for the file of a part.
type search struct {
	ctx    context.Context
	part   part
	byName func(name string) (string, error)
	sums   func(ctx context.Context, path string) ([]string, error) // of a file
	all    func() []candidate
	small  bool // files are small enough to be read for their sums

	candidates []candidate
	skipped    int // candidates whose sums are not known
}

// mostHashed is how many bytes of small files are read at most to find one by its sum.
const mostHashed = 8 << 30

// find returns the path of the part's file; false: it is not here. What is worth telling is told.
func (s *search) find(f *Found) (string, bool) {
	other, otherSum := "", ""
	for _, name := range s.names() {
		path, err := s.byName(name)
		if err != nil {
			continue
		}
		same, sum := s.isSame(path)
		if same {
			return path, true
		}
		if other == "" {
			other, otherSum = path, sum
		}
	}
	s.candidates = s.all()
	if len(s.part.sums) > 0 {
		if c, ok := s.bySum(); ok {
			f.note("%s is %s here, by its hash %s", near.Quote(s.part.name), near.Quote(c.name), short(s.part.sums[0]))
			return c.path, true
		}
	}
	if other != "" {
		f.differs("%s is not the file that the picture was made with: its hash is %s instead of %s. The picture will differ", other,
			short(otherSum), short(s.wantedSum()))
	}
	return other, other != ""
}

// names are the names that the file may have, the surest first.
func (s *search) names() (out []string) {
	for _, n := range []string{s.part.hub, s.part.file, s.part.name} {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func (s *search) wantedSum() string {
	if len(s.part.sums) > 0 {
		return s.part.sums[0]
	}
	for _, w := range s.part.whole {
		return w.sum
	}
	return ""
}

// isSame reports whether a file is the part's by its sum, and the sum if it is not. If the picture has no sum, every file is.
func (s *search) isSame(path string) (bool, string) {
	if modelfile.IsFolder(path) {
		return s.isSameFolder(path)
	}
	if len(s.part.sums) == 0 {
		return true, ""
	}
	sums, err := s.sums(s.ctx, path)
	if err != nil || len(sums) == 0 {
		return err != nil && s.ctx.Err() == nil, "" // whoever opens the file says best what is wrong with it
	}
	return begins(sums, s.part.sums), sums[0]
}

// isSameFolder compares the files of a diffusers folder.
func (s *search) isSameFolder(path string) (bool, string) {
	for _, w := range s.part.whole {
		sum, err := pipeline.HashFile(s.ctx, filepath.Join(path, filepath.FromSlash(w.name)))
		if err != nil || w.sum != "" && sum != w.sum {
			return false, sum
		}
	}
	return true, ""
}

// bySum looks for a candidate with the part's sum.
func (s *search) bySum() (candidate, bool) {
	budget := int64(mostHashed)
	var unknown []candidate
	for _, c := range s.candidates {
		if c.sum == "" {
			c.sum = pipeline.KnownHash(c.path)
		}
		if c.sum == "" {
			unknown = append(unknown, c)
		} else if begins([]string{c.sum}, s.part.sums) {
			return c, true
		} else if s.small { // it may be known by another sum
			unknown = append(unknown, c)
		}
	}
	for _, c := range unknown {
		if s.part.bytes > 0 && c.size != s.part.bytes {
			continue
		}
		if s.part.bytes == 0 && (!s.small || c.size > budget) {
			s.skipped++
			continue
		}
		budget -= c.size
		if sums, err := s.sums(s.ctx, c.path); err == nil && begins(sums, s.part.sums) {
			return c, true
		}
	}
	return candidate{}, false
}

// fewestDigits is how many digits of a sum tell files apart.
const fewestDigits = 8

// begins reports whether one of the sums begins with one of the given digits.
func begins(sums, digits []string) bool {
	return slices.ContainsFunc(digits, func(d string) bool {
		return len(d) >= fewestDigits && slices.ContainsFunc(sums, func(s string) bool { return strings.HasPrefix(s, d) })
	})
}

// short is the web UI's short form of a hash.
func short(sum string) string { return sum[:min(10, len(sum))] }

// clip cuts a text for a message.
func clip(text string) string { return near.Clip(near.OneLine(text)) }

// fileName is a path's last part without its extension.
func fileName(path string) string {
	base := filepath.Base(filepath.FromSlash(path))
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func modelSums(ctx context.Context, path string) ([]string, error) {
	sum, err := pipeline.HashFile(ctx, path)
	return []string{sum}, err
}

func adapterSums(ctx context.Context, path string) ([]string, error) {
	h, err := adapters.Hash(ctx, path)
	return sumsOf(h.SHA256, h.AutoV3), err
}

func adapterLibrary(m request.Model) *library.Library {
	return adapters.NewLibrary(m.LoRADirectories...)
}

// netLibrary is where nets of a kind are found by name.
func netLibrary(m request.Model, kind string) (role string, files *library.Library) {
	if kind == "controlnet" {
		return kind, models.NewNets(m.ControlNetDirectories...)
	}
	if kind == "detail" {
		return "detector", models.NewDetectors(m.ModelDirectories...)
	}
	return kind, models.NewIPAdapters(m.IPAdapterDirectories...)
}

// netFinder finds nets by name.
func netFinder(role string, files *library.Library) func(string) (string, error) {
	return func(name string) (string, error) { return models.FindNet(role, name, files) }
}

// listed are the files of a library. Folders that cannot be read are told by those who use them.
func listed(files *library.Library) (out []candidate) {
	list, _ := files.List()
	for _, f := range list {
		out = append(out, candidate{name: f.Name, path: f.Path, size: f.Size})
	}
	return out
}

// pulled are the models that were fetched by name.
func pulled() (out []candidate) {
	for _, m := range hubcache.FromEnv().List() {
		out = append(out, candidate{name: m.Name(), path: m.Path, sum: m.SHA256, size: m.Size})
	}
	return out
}
