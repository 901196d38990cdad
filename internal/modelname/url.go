package modelname

import (
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// parseURL reads an address. Those of Hugging Face and Civitai are read as the repository or the version that they show.
func parseURL(n Name, text string) (Name, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return n, wrong(text, "it is no address")
	}
	host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
	switch {
	case isHub(u, host):
		return parseHub(n, u)
	case host == "civitai.com" || host == "civitai.red" || host == "civitai.green":
		return parseCivitaiURL(n, u)
	}
	if base := path.Base(u.Path); base == "/" || base == "." || !goodFile(base) {
		return n, wrong(text, "the address names no file")
	}
	n.Source, n.URL = Web, text
	n.File = path.Base(u.Path)
	return n, nil
}

// isHub reports whether an address is one of the hub's.
func isHub(u *url.URL, host string) bool {
	if host == "huggingface.co" || host == "hf.co" {
		return true
	}
	end, err := url.Parse(os.Getenv("HF_ENDPOINT"))
	return err == nil && end.Host != "" && end.Host == u.Host
}

// parseHub reads /owner/name and /owner/name/resolve/REVISION/FILE; blob and tree are what pages have in place of resolve.
func parseHub(n Name, u *url.URL) (Name, error) {
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return n, wrong(n.Text, "the address names no repository")
	}
	text := parts[0] + "/" + parts[1]
	if len(parts) > 3 && slices.Contains([]string{"resolve", "blob", "tree"}, parts[2]) {
		rest := parts[4:]
		text += "@" + parts[3]
		if parts[3] == "refs" && len(parts) >= 6 { // refs/pr/1
			text += "/" + parts[4] + "/" + parts[5]
			rest = parts[6:]
		}
		if len(rest) > 0 {
			text += ":" + strings.Join(rest, "/")
		}
	} else if len(parts) > 2 {
		return n, wrong(n.Text, "the address names neither a repository nor a file of one")
	}
	return parseRepository(n, text)
}

// parseCivitaiURL reads /models/MODEL?modelVersionId=VERSION and /api/download/models/VERSION.
func parseCivitaiURL(n Name, u *url.URL) (Name, error) {
	rest, ok := strings.CutPrefix(u.Path, "/api/download/models/")
	if ok {
		return parseCivitai(n, strings.Trim(rest, "/"))
	}
	rest, ok = strings.CutPrefix(u.Path, "/models/")
	model, _, _ := strings.Cut(rest, "/")
	version := u.Query().Get("modelVersionId")
	if !ok || !number.MatchString(model) {
		return n, wrong(n.Text, "the address names no model of Civitai")
	}
	if version == "" {
		return n, wrong(n.Text, "it names no version, and a model's newest version may change; choose one on the page and take its address, "+
			"which has ?modelVersionId=, or write civitai:%s@VERSION", words.Clip(model))
	}
	return parseCivitai(n, model+"@"+version)
}

// secrets are parts of the names of an address's parameters that hold a token or are good for a while only.
var secrets = []string{"token", "key", "sig", "secret", "auth", "pass", "expires", "credential", "policy"}

// PlainURL is an address without what may be secret: its user and password, its fragment, and parameters that hold tokens.
func PlainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.User, u.Fragment = nil, ""
	q := u.Query()
	for key := range q {
		if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(strings.ToLower(key), s) }) {
			q.Del(key)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// String writes the name so that Parse reads it again, without tokens.
func (n Name) String() string {
	var s string
	switch n.Source {
	case Civitai:
		if s = "civitai:"; n.Repository != "" {
			s += n.Repository + "@"
		}
		return s + n.Revision
	case Web:
		return PlainURL(n.URL)
	}
	if s = n.Repository; IsWeights(s) {
		s = "hf:" + s
	}
	if n.Revision != "" {
		s += "@" + n.Revision
	}
	if n.File != "" {
		s += ":" + n.File
	}
	return s
}
