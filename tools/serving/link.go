//go:build unix

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
)

// link passes connections on to an address until it is cut.
type link struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{l: l, to: to, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.pass(c)
		}
	}()
	return k, nil
}

func (k *link) pass(c net.Conn) {
	defer func() { _ = c.Close() }() // the other side may have done it
	k.mu.Lock()
	cut := k.cut
	k.mu.Unlock()
	if cut {
		return
	}
	other, err := net.Dial("tcp", k.to)
	if err != nil {
		return
	}
	k.mu.Lock()
	k.conns[c], k.conns[other] = true, true
	k.mu.Unlock()
	go func() {
		_, _ = io.Copy(other, c) // one of them ends the other
		_ = other.Close()
	}()
	_, _ = io.Copy(c, other)
	_ = other.Close()
	k.mu.Lock()
	delete(k.conns, c)
	delete(k.conns, other)
	k.mu.Unlock()
}

// set cuts the link, or mends it.
func (k *link) set(cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = cut
	if cut {
		for c := range k.conns {
			_ = c.Close() // it is cut
		}
	}
}

// bucket stands before the S3 server: it counts pictures, and fails where it is told to.
type bucket struct {
	proxy *httputil.ReverseProxy
	fails atomic.Bool
	puts  atomic.Int64 // pictures that were stored, each time
	all   atomic.Int64 // requests
	bytes atomic.Int64 // that were stored
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.all.Add(1)
	if b.fails.Load() {
		http.Error(w, "the store is down", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/pictures/") {
		b.puts.Add(1)
		b.bytes.Add(r.ContentLength)
	}
	b.proxy.ServeHTTP(w, r)
}
