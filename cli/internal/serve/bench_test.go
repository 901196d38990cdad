package serve_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
)

// BenchmarkSubmit submits runs that nobody makes, from 200 clients.
func BenchmarkSubmit(b *testing.B) {
	s := servetest.Start(b, servetest.Options{Idle: true})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	var failed atomic.Int64
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Post(s.URL+"/v1/runs", "application/json", strings.NewReader(`{"prompt": "a red circle", "seed": 1}`))
			if err != nil || res.StatusCode != http.StatusAccepted {
				failed.Add(1)
				continue
			}
			_, _ = io.Copy(io.Discard, res.Body) // else the connection is closed
			_ = res.Body.Close()
		}
	})
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d of %d failed", n, b.N)
	}
}
