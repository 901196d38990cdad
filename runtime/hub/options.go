package hub

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/hubcache"
)

// Options say what of a model is fetched, and how. The zero value is right for most programs.
type Options struct {
	File    string // in the repository, as behind the colon of a name; "": the only model there is
	Variant string // of a folder's weights: "fp16"; "": those without one
	SHA256  string // of the file, from a place that you trust; "": the one that the hub tells
	// AllowPickle takes files that are pickles (.ckpt, .pt, .bin), which can run code in other programs. Here none is ever run.
	AllowPickle bool
	// Force asks the server also where the model is there.
	Force bool
	// Connections is how many fetch a large file side by side; 0: 4.
	Connections int
	// Stall is how long a connection may bring nothing until it is given up and tried again; 0: a minute.
	Stall time.Duration
	// Client makes the requests; nil: one with timeouts for answers that do not come, and the proxy of the environment.
	Client *http.Client
	// Progress, if not nil, is told how far the download is. Calls do not overlap.
	Progress func(Progress)
	// Note, if not nil, is told what is chosen, and what went wrong and is tried again, one sentence at a time. Calls do not overlap.
	Note func(string)

	roots    *hubcache.Roots // nil: of the environment
	patience *download.Patience
	chunk    int64
	alone    time.Duration
	free     func(dir string) (int64, error)
}

// Progress is how far a download is.
type Progress struct {
	Stage       string // StageDownload or StageVerify
	File        string // that is fetched, in the repository
	Done, Total int64  // bytes of all files; Total is 0 while it is unknown
	Had         int64  // bytes that were there when it began
}

// The stages of Progress.
const (
	StageDownload = download.StageDownload
	StageVerify   = download.StageVerify // the sum of what is there is computed
)

// The addresses of the hubs, and the environment variables with other ones.
const (
	DefaultEndpoint    = "https://huggingface.co"
	EnvEndpoint        = "HF_ENDPOINT"
	civitaiEndpoint    = "https://civitai.com"
	envCivitaiEndpoint = "CIVITAI_ENDPOINT"
)

func (o Options) cache() hubcache.Roots {
	if o.roots != nil {
		return *o.roots
	}
	return hubcache.FromEnv()
}

func (o Options) freeIn(dir string) (int64, error) {
	if o.free != nil {
		return o.free(dir)
	}
	return disk.Free(dir)
}

// secret is a token. However it is printed, also inside of something else, it does not show: behind a pointer it is only an address.
type secret struct{ text *string }

// Format prints a secret without telling it.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// MarshalText writes a secret without telling it.
func (s secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// none reports whether there is no token.
func (s secret) none() bool { return s.text == nil || *s.text == "" }

// header is the head of requests to the server that the token is for.
func (s secret) header() http.Header {
	if s.none() {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + *s.text}}
}

// mostToken is longer than any token, in bytes.
const mostToken = 4096

// hubToken is the token for Hugging Face: of the environment, or of the file that `hf auth login` writes.
func hubToken() secret {
	if t := cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN")); t != "" {
		return clean(t)
	}
	if isSet(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return secret{}
	}
	path := os.Getenv("HF_TOKEN_PATH")
	if path == "" {
		path = filepath.Join(hubcache.Home(), "token")
	}
	f, err := os.Open(path)
	if err != nil {
		return secret{}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostToken))
	if err != nil {
		return secret{}
	}
	return clean(string(text))
}

func isSet(s string) bool { return s != "" && s != "0" && !strings.EqualFold(s, "false") }

// clean takes blanks and line ends off a token. What cannot be in a header is no token.
func clean(text string) secret {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret{}
	}
	return secret{&text}
}

// civitaiToken is the token for Civitai.
func civitaiToken() secret {
	return clean(cmp.Or(os.Getenv("CIVITAI_TOKEN"), os.Getenv("CIVITAI_API_TOKEN"), os.Getenv("CIVITAI_API_KEY")))
}

// endpoint is the address of a hub.
func endpoint(env, usual string) (*url.URL, error) {
	text := strings.TrimRight(cmp.Or(os.Getenv(env), usual), "/")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
		return nil, failed(ErrName, "%s is no address that begins with https:// or http://", env)
	}
	return u, nil
}
