// Package hubtest is a server that acts like the hub of Hugging Face, like Civitai and like a plain web server, with all that can go wrong.
// It is for tests, and for tools that hold this program against others.
package hubtest

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git's sums
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault answers a request in the server's place, or not. n counts the requests of this method and address from 1.
type Fault func(n int, w http.ResponseWriter, r *http.Request) bool

// Server is the hub, and the server that it sends downloads of large files to.
type Server struct {
	Hub, CDN *httptest.Server

	mu       sync.Mutex
	repos    map[string]*Repo
	versions map[string]*Version
	pages    map[string][]byte
	blobs    map[string][]byte
	token    string
	pageSize int
	fault    Fault
	counts   map[string]int
	requests []Request
}

// Request is one that came.
type Request struct {
	CDN           bool
	Method, Path  string
	Range         string
	Authorization string
	Bytes         int64 // of the body that was sent
}

// Repo is a repository.
type Repo struct {
	Branches map[string]string            // commits of branches
	Commits  map[string]map[string][]byte // files of commits
	Private  bool                         // it needs the token
	Gated    bool                         // it needs consent, which nobody gave
}

// Version is one of Civitai's.
type Version struct {
	Model   int64
	Files   []File
	Private bool
}

// File is a file of a version.
type File struct {
	Name, Type, SHA256 string // SHA256 "": the right one
	Primary            bool
	Data               []byte
}

// largeFrom is from which size on files are LFS's.
const largeFrom = 1024

// New makes a server without repositories.
func New() *Server {
	s := &Server{repos: map[string]*Repo{}, versions: map[string]*Version{}, pages: map[string][]byte{}, blobs: map[string][]byte{},
		counts: map[string]int{}, pageSize: 1000}
	s.Hub = httptest.NewServer(s.handler(false))
	s.CDN = httptest.NewServer(s.handler(true))
	return s
}

// Close ends the server.
func (s *Server) Close() {
	s.Hub.CloseClientConnections()
	s.CDN.CloseClientConnections()
	s.Hub.Close()
	s.CDN.Close()
}

// summed remembers the sums of large files by their bytes' place, since a server that sums them for each request is slow.
var summed sync.Map

type place struct {
	first *byte
	size  int
	git   bool
}

func remembered(data []byte, git bool, compute func() string) string {
	if len(data) < 1<<20 {
		return compute()
	}
	key := place{&data[0], len(data), git}
	if sum, ok := summed.Load(key); ok {
		return sum.(string)
	}
	sum := compute()
	summed.Store(key, sum)
	return sum
}

// SHA256 is a sum in hexadecimal. Large data must not change afterwards.
func SHA256(data []byte) string {
	return remembered(data, false, func() string {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	})
}

// GitSum is git's sum of a file.
func GitSum(data []byte) string {
	return remembered(data, true, func() string {
		h := sha1.New() //nolint:gosec // git's sums
		fmt.Fprintf(h, "blob %d\x00", len(data))
		h.Write(data)
		return hex.EncodeToString(h.Sum(nil))
	})
}

// Commit makes a new commit of a branch with files. What the branch had before is not in it.
func (s *Server) Commit(repo, branch string, files map[string][]byte) (commit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[repo]
	if r == nil {
		r = &Repo{Branches: map[string]string{}, Commits: map[string]map[string][]byte{}}
		s.repos[repo] = r
	}
	h := sha1.New() //nolint:gosec // as a commit hash
	fmt.Fprintln(h, repo, branch, r.Branches[branch])
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintln(h, name, SHA256(files[name]))
		s.blobs[SHA256(files[name])] = files[name]
	}
	commit = hex.EncodeToString(h.Sum(nil))
	r.Commits[commit], r.Branches[branch] = files, commit
	return commit
}

// Change changes a repository.
func (s *Server) Change(repo string, change func(r *Repo)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.repos[repo])
}

// SetBlob changes what the download of a sum brings.
func (s *Server) SetBlob(sum string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[sum] = data
}

// SetVersion makes a version of Civitai.
func (s *Server) SetVersion(id string, v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[id] = &v
}

// SetPage makes a file of the plain web server, at the hub's address.
func (s *Server) SetPage(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = data
}

// SetToken sets the token that private repositories need.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// SetPageSize sets how many files a page of a listing has.
func (s *Server) SetPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// SetFault sets what goes wrong; nil: nothing. The counts begin anew.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.counts = f, map[string]int{}
}

// Requests returns the requests so far, and forgets them.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// counting counts the bytes of an answer.
type counting struct {
	http.ResponseWriter
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// Flush sends what was written.
func (c *counting) Flush() {
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (s *Server) handler(cdn bool) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &counting{ResponseWriter: plain}
		s.mu.Lock()
		key := r.Method + " " + r.URL.Path
		s.counts[key]++
		n, fault := s.counts[key], s.fault
		i := len(s.requests)
		s.requests = append(s.requests, Request{CDN: cdn, Method: r.Method, Path: r.URL.Path, Range: r.Header.Get("Range"),
			Authorization: r.Header.Get("Authorization")})
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if i < len(s.requests) {
				s.requests[i].Bytes = w.n
			}
		}()
		if fault != nil && fault(n, w, r) {
			return
		}
		if cdn {
			s.download(w, r)
			return
		}
		s.answer(w, r)
	})
}

// download is the CDN's: /SUM, with an ETag of its own.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" { // as S3 answers: one way of asking is enough
		http.Error(w, "only one way of authorization is allowed", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	data, ok := s.blobs[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if !ok || r.URL.Query().Get("Signature") == "" {
		http.Error(w, "no such object", http.StatusForbidden)
		return
	}
	Serve(w, r, data)
}

// Serve serves bytes with an ETag and ranges.
func Serve(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("ETag", ETag(data))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// ETag is what the CDN calls bytes: not their SHA-256.
func ETag(data []byte) string {
	n := min(len(data), 1<<16)
	return `"` + SHA256(slices.Concat(data[:n], data[len(data)-n:]))[:32] + `"`
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", text)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client may be gone
}

// answer is the hub's.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	page, isPage := s.pages[r.URL.Path]
	s.mu.Unlock()
	switch parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/"); {
	case isPage:
		Serve(w, r, page)
	case strings.HasPrefix(r.URL.Path, "/api/v1/model-versions/"), strings.HasPrefix(r.URL.Path, "/api/download/models/"):
		s.civitai(w, r, path.Base(r.URL.Path))
	case len(parts) >= 4 && parts[0] == "api" && parts[1] == "models":
		s.api(w, r, parts[2]+"/"+parts[3], parts[4:])
	case len(parts) >= 5 && parts[2] == "resolve":
		s.resolve(w, r, parts[0]+"/"+parts[1], parts[3:])
	default:
		refuse(w, http.StatusNotFound, "EntryNotFound", "no such page")
	}
}

// open finds a repository that the request may see, and the commit that it names with the first parts of what is left of its path.
func (s *Server) open(w http.ResponseWriter, r *http.Request, name string, rest []string) (files map[string][]byte, commit string,
	left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.repos[name]
	allowed := s.token != "" && r.Header.Get("Authorization") == "Bearer "+s.token
	if repo == nil || repo.Private && !allowed {
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
		return nil, "", nil
	}
	for n := min(len(rest), 3); n > 0; n-- { // refs/pr/1 is one revision, as is refs%2Fpr%2F1
		ref := strings.Join(rest[:n], "/")
		commit = repo.Branches[ref]
		if commit == "" && repo.Commits[ref] != nil {
			commit = ref
		}
		if commit != "" {
			rest = rest[n:]
			break
		}
	}
	if len(rest) == 0 && commit == "" {
		commit = repo.Branches["main"]
	}
	if commit == "" {
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id")
		return nil, "", nil
	}
	return repo.Commits[commit], commit, rest
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, name string, rest []string) {
	kind := ""
	if len(rest) > 0 {
		kind, rest = rest[0], rest[1:]
	}
	files, commit, _ := s.open(w, r, name, rest)
	if commit == "" {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if kind != "tree" {
		var siblings []map[string]string
		for _, file := range slices.Sorted(maps.Keys(files)) {
			siblings = append(siblings, map[string]string{"rfilename": file})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"_id": "1", "id": name, "modelId": name, "sha": commit, "siblings": siblings,
			"private": false, "tags": []string{}, "downloads": 0, "likes": 0}) // the client may be gone
		return
	}
	names := slices.Sorted(maps.Keys(files))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor")) // none is 0
	s.mu.Lock()
	to := min(from+s.pageSize, len(names))
	s.mu.Unlock()
	if to < len(names) {
		q := r.URL.Query()
		q.Set("cursor", strconv.Itoa(to))
		next := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: q.Encode()}
		w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", next.String()))
	}
	out := []any{}
	for _, file := range names[min(from, len(names)):to] {
		data := files[file]
		entry := map[string]any{"type": "file", "path": file, "size": len(data), "oid": GitSum(data)}
		if len(data) >= largeFrom {
			entry["lfs"] = map[string]any{"oid": SHA256(data), "size": len(data), "pointerSize": 134}
		}
		out = append(out, entry)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *Server) resolve(w http.ResponseWriter, r *http.Request, name string, rest []string) {
	files, commit, left := s.open(w, r, name, rest)
	if commit == "" {
		return
	}
	s.mu.Lock()
	gated := s.repos[name].Gated
	s.mu.Unlock()
	data, ok := files[strings.Join(left, "/")]
	switch {
	case gated:
		refuse(w, http.StatusForbidden, "GatedRepo", "Access to model "+name+" is restricted and you are not in the authorized list")
		return
	case !ok:
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if len(data) < largeFrom {
		w.Header().Set("ETag", `"`+GitSum(data)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
	w.Header().Set("X-Linked-ETag", `"`+SHA256(data)+`"`)
	w.Header().Set("ETag", `"`+GitSum(data)+`"`)
	http.Redirect(w, r, s.CDN.URL+"/"+SHA256(data)+"?Expires=1&Signature=signed", http.StatusFound)
}
