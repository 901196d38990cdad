// Package modelname reads the names of models that are not paths: repositories of Hugging Face, versions of Civitai, addresses, and the
// short names of well-known models. It touches no network, and no file but the user's list of names.
package modelname

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// ErrName matches the error of a text that can be no name.
var ErrName = errors.New("wrong name of a model")

// Source is where a model comes from.
type Source string

// The sources.
const (
	HuggingFace Source = "huggingface"
	Civitai     Source = "civitai"
	Web         Source = "url"
)

// Whole as Name.File is the whole folder of a repository, as diffusers reads it.
const Whole = "."

// Name is what a name says.
type Name struct {
	Text       string // as it was given
	Source     Source
	Repository string // "owner/name" of Hugging Face; the number of Civitai's model, "" where it is not given; "" of an address
	Revision   string // branch, tag or commit; the number of Civitai's version; "": the main one
	File       string // path in the repository, with slashes; Whole; "": the only one there is
	Variant    string // of a folder's weights, as "fp16"; "": those without one
	URL        string // of Web
	Entry      *Entry // the well-known model that the name stands for; nil: none
}

// The longest name that is read, and the longest part of one.
const (
	mostName = 2048
	mostPart = 255
)

var (
	owner    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	revision = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]*$`)
	number   = regexp.MustCompile(`^[0-9]{1,18}$`)
)

// WeightExtensions are the endings of the names of files of weights, in the order of preference.
var WeightExtensions = []string{".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin"}

// IsWeights reports whether a file's name is that of weights.
func IsWeights(name string) bool {
	return slices.Contains(WeightExtensions, strings.ToLower(path.Ext(name)))
}

// IsPickle reports whether a file's name is that of a pickle, which may run code in other programs.
func IsPickle(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return IsWeights(name) && ext != ".safetensors" && ext != ".gguf"
}

func wrong(text, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", words.Quote(hideQuery(text)), ErrName, fmt.Sprintf(format, args...))
}

// hideQuery keeps what may be a token out of messages.
func hideQuery(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		if u.RawQuery != "" {
			u.RawQuery = "..."
		}
		return u.Redacted()
	}
	if before, _, ok := strings.Cut(text, "?"); ok && strings.Contains(before, "://") {
		return before + "?..."
	}
	return text
}

// IsExplicit reports whether a text is a name by its very form, and not a path: it begins with hf:, civitai:, urn:air:, air:, https:// or
// http://.
func IsExplicit(text string) bool {
	lower := strings.ToLower(text)
	return slices.ContainsFunc([]string{"hf:", "civitai:", "urn:air:", "air:", "https://", "http://"}, func(p string) bool {
		return strings.HasPrefix(lower, p)
	})
}

// Looks reports whether a text may be a name: it has the form of one, and is not plainly a path.
func Looks(text string) bool {
	if IsExplicit(text) {
		return true
	}
	_, err := Parse(text)
	return err == nil
}

// Parse reads a name that is no short name of a well-known model: "owner/name", with "@revision" and ":file" behind it where they matter;
// the same behind "hf:"; "civitai:VERSION" or "civitai:MODEL@VERSION"; an AIR, "urn:air:sdxl:checkpoint:civitai:MODEL@VERSION"; an address.
// Addresses of pages and files of Hugging Face and Civitai are read as what they show. Errors match ErrName.
func Parse(text string) (Name, error) {
	n := Name{Text: text}
	lower := strings.ToLower(text)
	switch {
	case len(text) > mostName:
		return n, wrong(words.Clip(text), "it has more than %d characters", mostName)
	case strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://"):
		return parseURL(n, text)
	case strings.HasPrefix(lower, "urn:air:"):
		return parseAIR(n, text[len("urn:air:"):])
	case strings.HasPrefix(lower, "air:"):
		return parseAIR(n, text[len("air:"):])
	case strings.HasPrefix(lower, "civitai:"):
		return parseCivitai(n, text[len("civitai:"):])
	case strings.HasPrefix(lower, "hf:"):
		return parseRepository(n, text[len("hf:"):])
	}
	n, err := parseRepository(n, text)
	if err == nil && n.File == "" && n.Revision == "" && IsWeights(n.Repository) {
		return n, wrong(text, "it looks like the path of a file; write hf:%s for a repository of this name", text)
	}
	return n, err
}

// parseRepository reads owner/name[@revision][:file].
func parseRepository(n Name, text string) (Name, error) {
	n.Source = HuggingFace
	rest, file, hasFile := strings.Cut(text, ":")
	repo, rev, hasRev := strings.Cut(rest, "@")
	user, name, ok := strings.Cut(repo, "/")
	switch {
	case !ok || !owner.MatchString(user) || !owner.MatchString(name):
		return n, wrong(n.Text, "a repository is written owner/name, as stabilityai/stable-diffusion-xl-base-1.0")
	case len(repo) > 96 || strings.Contains(repo, "--") || strings.Contains(repo, "..") || strings.HasSuffix(repo, ".git"):
		return n, wrong(n.Text, "no repository is called so: it has at most 96 characters, no \"--\" and no \"..\"")
	case hasRev && !goodRevision(rev):
		return n, wrong(n.Text, "%s behind the @ is no branch, tag or commit", words.Quote(rev))
	case hasFile && file != Whole && !goodFile(file):
		return n, wrong(n.Text, "%s behind the colon is no path of a file in the repository", words.Quote(file))
	}
	n.Repository, n.Revision, n.File = repo, rev, file
	return n, nil
}

func goodRevision(rev string) bool {
	return len(rev) <= mostPart && revision.MatchString(rev) && !strings.Contains(rev, "..") && !strings.Contains(rev, "//") &&
		!strings.HasSuffix(rev, "/") && !strings.Contains(rev, "/.")
}

// goodFile reports whether a path stays inside its folder, on every system.
func goodFile(file string) bool {
	if len(file) > mostName || file != path.Clean(file) || path.IsAbs(file) || strings.ContainsAny(file, "\\:*?\"<>|\x00") {
		return false
	}
	for part := range strings.SplitSeq(file, "/") {
		if part == "" || part == "." || part == ".." || len(part) > mostPart || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' }) {
			return false
		}
	}
	return true
}

// GoodFile reports whether a path that a server tells can be a file below a folder: it does not lead outside.
func GoodFile(file string) bool { return goodFile(file) }

// parseCivitai reads VERSION or MODEL@VERSION.
func parseCivitai(n Name, text string) (Name, error) {
	n.Source = Civitai
	model, version, both := strings.Cut(text, "@")
	if !both {
		model, version = "", text
	}
	if !number.MatchString(version) || both && !number.MatchString(model) {
		return n, wrong(n.Text, "write civitai:VERSION or civitai:MODEL@VERSION, two numbers of the page's address: "+
			"civitai.com/models/MODEL?modelVersionId=VERSION")
	}
	n.Repository, n.Revision = model, version
	return n, nil
}

// parseAIR reads what follows urn:air: as in sdxl:checkpoint:civitai:101055@128078.
func parseAIR(n Name, text string) (Name, error) {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) < 4 {
		return n, wrong(n.Text, "an AIR is written urn:air:sdxl:checkpoint:civitai:MODEL@VERSION")
	}
	switch source, id := strings.ToLower(parts[2]), parts[3]; source {
	case "civitai":
		id, _, _ = strings.Cut(id, ":") // a layer
		model, version, ok := strings.Cut(id, "@")
		version, _, _ = strings.Cut(version, ".") // a format
		if !ok {
			return n, wrong(n.Text, "it names no version; write urn:air:...:civitai:%s@VERSION, since a model's newest version may change",
				words.Clip(model))
		}
		return parseCivitai(n, model+"@"+version)
	case "huggingface":
		return parseRepository(n, id)
	default:
		return n, wrong(n.Text, "models of %s cannot be fetched; known are civitai and huggingface", words.Quote(parts[2]))
	}
}
