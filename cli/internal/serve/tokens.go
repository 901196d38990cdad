package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"golang.org/x/time/rate"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// Tokens are those who may use the server, read from a file. Of a token only its SHA-256 is kept in memory.
type Tokens struct {
	list []token
}

// token is one who may use the server.
type token struct {
	sum      [sha256.Size]byte
	caller   studio.Caller
	requests *rate.Limiter // nil: no limit
}

// tokenTable is a token in the file.
type tokenTable struct {
	Name     string `toml:"name"`
	SHA256   string `toml:"sha256"`
	Token    string `toml:"token"`
	Requests int    `toml:"requests"`
	Pixels   int64  `toml:"pixels"`
	Steps    int    `toml:"steps"`
	Images   int    `toml:"images"`
	Pending  int    `toml:"pending"`
	Priority *int   `toml:"priority"`
	Admin    bool   `toml:"admin"`
}

const (
	maxTokens     = 10_000
	maxTokenFile  = 4 << 20
	minTokenBytes = 16
)

// ReadTokens reads a file of tokens. Tokens of the same name as before keep what they have used of their limit of requests.
func ReadTokens(path string, before *Tokens) (*Tokens, error) {
	data, err := regular.ReadFile(path, maxTokenFile)
	if err != nil {
		return nil, err
	}
	var file struct {
		Token []tokenTable `toml:"token"`
	}
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, withoutText(err))
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("%s: %s: unknown key", path, extra[0])
	}
	if len(file.Token) == 0 || len(file.Token) > maxTokens {
		return nil, fmt.Errorf("%s has %d [[token]] tables; it needs 1 to %d", path, len(file.Token), maxTokens)
	}
	out, names := &Tokens{}, map[string]bool{}
	for i, t := range file.Token {
		tok, err := t.read()
		if err == nil && names[t.Name] {
			err = fmt.Errorf("name: another token is called %s", t.Name)
		}
		if err == nil && t.Token != "" {
			err = private(path)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: token[%d]: %w", path, i, err)
		}
		names[t.Name] = true
		tok.requests = before.limiter(t)
		out.list = append(out.list, tok)
	}
	return out, nil
}

// withoutText is an error of the TOML reader without the line that it found: there may be a token in it.
func withoutText(err error) error {
	if p, ok := err.(toml.ParseError); ok {
		return fmt.Errorf("line %d: it is no TOML", p.Position.Line)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("it is no file of tokens: %s", text)
}

// read checks a table.
func (t tokenTable) read() (out token, err error) {
	switch {
	case !durable.IsName(t.Name):
		return out, fmt.Errorf("name: %q is no name; use 1 to 64 letters, digits, _ and -", t.Name)
	case (t.SHA256 == "") == (t.Token == ""):
		return out, fmt.Errorf("%s: give either sha256 or token", t.Name)
	case t.Token != "" && len(t.Token) < minTokenBytes:
		return out, fmt.Errorf("%s: token: it is shorter than %d bytes", t.Name, minTokenBytes)
	}
	for key, n := range map[string]int64{"requests": int64(t.Requests), "pixels": t.Pixels, "steps": int64(t.Steps),
		"images": int64(t.Images), "pending": int64(t.Pending)} {
		if n < 0 {
			return out, fmt.Errorf("%s: %s: is %d; it must be 1 or more, or left out for no limit", t.Name, key, n)
		}
	}
	if p := t.Priority; p != nil && (*p < durable.MinPriority || *p > durable.MaxPriority) {
		return out, fmt.Errorf("%s: priority: is %d; it must be %d to %d", t.Name, *p, durable.MinPriority, durable.MaxPriority)
	}
	out.sum = sha256.Sum256([]byte(t.Token))
	if t.SHA256 != "" {
		sum, err := hex.DecodeString(t.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return out, fmt.Errorf("%s: sha256: it is no SHA-256 in hexadecimal", t.Name)
		}
		copy(out.sum[:], sum)
	}
	out.caller = studio.Caller{Owner: t.Name, Admin: t.Admin, Limits: studio.Limits{Requests: t.Requests, Pixels: t.Pixels, Steps: t.Steps,
		Images: t.Images, Pending: t.Pending, Priority: t.Priority}}
	return out, nil
}

// private checks that nobody else can read a file in which tokens are written.
func private(path string) error {
	st, err := os.Stat(path)
	if err == nil && hasModes && st.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("token: others can read the file (mode %o): give sha256 instead, or chmod 600 it", st.Mode().Perm())
	}
	return err
}

// limiter is that of a token's requests: as many at once as in a minute.
func (t *Tokens) limiter(table tokenTable) *rate.Limiter {
	if table.Requests == 0 {
		return nil
	}
	if t != nil {
		for _, old := range t.list {
			if old.caller.Owner == table.Name && old.caller.Limits.Requests == table.Requests && old.requests != nil {
				return old.requests
			}
		}
	}
	return rate.NewLimiter(rate.Limit(float64(table.Requests)/60), table.Requests)
}

// find finds who has a token. It takes the same time for all that are wrong.
func (t *Tokens) find(given string) (found *token) {
	sum := sha256.Sum256([]byte(given))
	for i := range t.list {
		if subtle.ConstantTimeCompare(sum[:], t.list[i].sum[:]) == 1 {
			found = &t.list[i]
		}
	}
	return found
}

// strangers limits wrong tokens: one who guesses is slowed down, and the others are not.
type strangers struct {
	mu    sync.Mutex
	tries map[string]*rate.Limiter // by address
}

// The wrong tokens that an address may send at once, and a second.
const (
	strangerBurst = 20
	strangerRate  = 1
	maxStrangers  = 10_000
)

// refuse counts a wrong token of an address, and reports whether there were too many.
func (s *strangers) refuse(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries == nil || len(s.tries) >= maxStrangers {
		s.tries = map[string]*rate.Limiter{}
	}
	l := s.tries[address]
	if l == nil {
		l = rate.NewLimiter(strangerRate, strangerBurst)
		s.tries[address] = l
	}
	return !l.Allow()
}

// local is the caller of a server without tokens.
var local = studio.Caller{Owner: "local", Admin: true}

// newRequestID draws the id of a request.
func newRequestID() string { return "q" + durable.NewID()[1:13] }
