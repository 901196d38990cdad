package serve

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// guard decides who may come in.
type guard struct {
	tokens    atomic.Pointer[Tokens] // nil: everybody who reaches the server may use it
	strangers strangers
	origins   []string // of pages elsewhere that may use the server; "*": all
	names     bool     // requests may name any host: the server was told to trust its network
	cross     *http.CrossOriginProtection
	faces     []face.Face
}

func newGuard(o Options) *guard {
	g := &guard{origins: o.Origins, names: o.Insecure, cross: http.NewCrossOriginProtection(), faces: o.Faces}
	g.tokens.Store(o.Tokens)
	for _, origin := range o.Origins {
		if origin != "*" {
			_ = g.cross.AddTrustedOrigin(origin) // what is no origin was refused by Options.check
		}
	}
	return g
}

// admit finds out who asks, or why that one may not.
func (g *guard) admit(r *http.Request) (studio.Caller, *studio.Problem) {
	if p := g.page(r); p != nil {
		return studio.Caller{}, p
	}
	if g.open(r.URL.Path) {
		return studio.Caller{}, nil
	}
	tokens := g.tokens.Load()
	if tokens == nil {
		return local, nil
	}
	t := tokens.find(tokenOf(r))
	switch {
	case t == nil && g.strangers.refuse(addressOf(r)):
		return studio.Caller{}, &studio.Problem{Kind: studio.TooMany, Code: "too_many_requests", After: time.Second,
			Message: "too many wrong tokens came from this address"}
	case t == nil:
		return studio.Caller{}, &studio.Problem{Kind: studio.Unknown, Code: "unauthorized",
			Message: "the token is missing or wrong; send the header Authorization: Bearer TOKEN"}
	case t.requests == nil:
		return t.caller, nil
	}
	if reserved := t.requests.Reserve(); reserved.Delay() > 0 {
		wait := reserved.Delay()
		reserved.Cancel()
		return t.caller, &studio.Problem{Kind: studio.TooMany, Code: "too_many_requests", After: wait,
			Message: "your token allows no more requests now"}
	}
	return t.caller, nil
}

// page refuses what a page of another site has a browser send: it could use a server that its user reaches.
func (g *guard) page(r *http.Request) *studio.Problem {
	if !slices.Contains(g.origins, "*") {
		if err := g.cross.Check(r); err != nil {
			return &studio.Problem{Kind: studio.Forbidden, Code: "forbidden",
				Message: "the request comes from a page of another site; --allow-origin lets one in"}
		}
	}
	if g.tokens.Load() == nil && !g.names && !plainHost(r.Host) {
		return &studio.Problem{Kind: studio.Forbidden, Code: "forbidden",
			Message: "the request names a host that is neither localhost nor an address; a server without tokens refuses that, " +
				"because a site may give its own name this server's address"}
	}
	return nil
}

// plainHost reports whether a request's host is an address or localhost: no name that others may point here.
func plainHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || host == ""
}

// open reports whether a path needs no token.
func (g *guard) open(path string) bool {
	if path == "/livez" || path == "/readyz" {
		return true
	}
	return slices.ContainsFunc(g.faces, func(f face.Face) bool { return f.Open != nil && f.Open(path) })
}

// tokenOf is the token of a request: as a bearer token, or as the password of basic authentication, which A1111's clients have.
func tokenOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// share sets the headers that let pages of other sites use the server, where they may. It reports whether the request only asked for that.
func (g *guard) share(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(g.origins) == 0 {
		return false
	}
	w.Header().Add("Vary", "Origin")
	if !slices.Contains(g.origins, "*") && !slices.Contains(g.origins, origin) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Location, Retry-After, ETag, X-Request-Id")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, If-None-Match")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// refuse writes an error in the form of the face that owns the path.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, p *studio.Problem) {
	for _, f := range g.faces {
		if f.Owns != nil && f.Refuse != nil && f.Owns(r.URL.Path) {
			f.Refuse(w, r, p)
			return
		}
	}
	face.WriteProblem(w, r, p)
}
