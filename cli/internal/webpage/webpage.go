// Package webpage is the page of the server at /: a face made of files that are part of the program. The page uses the server's own API and
// nothing else, so that whatever it can do, a program can do too.
package webpage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
)

//go:embed files
var files embed.FS

// prefix is where all files are but the page itself.
const prefix = "/page/"

// policy is the page's Content-Security-Policy: everything comes from this server. Pictures are also shown from memory, since those of a
// server with tokens are fetched with one.
const policy = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'"

// types are the types of the files. The list of the system may lack them, or have others.
var types = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}

// Face is the page.
func Face() face.Face {
	return face.Face{Name: "page", Register: register, Open: Open}
}

// Open tells whether a path is the page or one of its files, which need no token.
func Open(p string) bool { return p == "/" || p == "/favicon.ico" || strings.HasPrefix(p, prefix) }

// register adds each file under its path. Patterns end at the file, so that nothing else is ever looked for.
func register(mux *http.ServeMux, _ *studio.Studio) {
	must := func(err error) {
		if err != nil {
			panic("webpage: " + err.Error()) // the files are part of the program
		}
	}
	must(fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		at := prefix + strings.TrimPrefix(name, "files/")
		if at == prefix+"index.html" {
			at = "/{$}"
		}
		mux.Handle("GET "+at, handler(data, types[path.Ext(name)]))
		return nil
	}))
	mux.Handle("GET /favicon.ico", http.RedirectHandler(prefix+"icon.svg", http.StatusMovedPermanently))
}

// handler serves a file. A browser asks each time whether its copy is still right, so that it never mixes two versions of the page.
func handler(data []byte, kind string) http.Handler {
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data) // the client may have gone
	})
}
