package serve_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// run is a small run.
func run(more ...any) map[string]any {
	out := map[string]any{"prompt": "x", "seed": 7, "num_inference_steps": 2, "width": 64, "height": 64}
	for i := 0; i < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

// TestRun submits a run, follows it, and fetches what it made.
func TestRun(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{}))
	a := c.do("POST", "/v1/runs", run("num_images", 2))
	require.Equal(t, 202, a.status, string(a.body))
	id := a.table(t)["id"].(string)
	assert.Equal(t, "/v1/runs/"+id, a.header.Get("Location"))
	events := c.follow(id)
	assert.Equal(t, []string{"started", "image", "image", "done"}, kept(events))
	r := c.do("GET", "/v1/runs/"+id, nil).table(t)
	assert.Equal(t, "done", r["state"])
	assert.EqualValues(t, 2, r["made"])
	pictures := r["pictures"].([]any)
	require.Len(t, pictures, 2)
	for i, p := range pictures {
		p := p.(map[string]any)
		assert.EqualValues(t, 7+i, p["seed"])
		a := c.do("GET", p["url"].(string), nil)
		require.Equal(t, 200, a.status)
		assert.Equal(t, "image/png", a.header.Get("Content-Type"))
		sum := sha256.Sum256(a.body)
		assert.Equal(t, hex.EncodeToString(sum[:]), p["sha256"])
		img, err := png.Decode(bytes.NewReader(a.body))
		require.NoError(t, err)
		assert.Equal(t, 64, img.Bounds().Dx())
		assert.Equal(t, 304, c.do("GET", p["url"].(string), nil, "If-None-Match", a.header.Get("ETag")).status)
		assert.Equal(t, "x", c.do("GET", p["url"].(string)+"/manifest", nil).table(t)["prompt"])
	}
	assert.Equal(t, 404, c.do("GET", pictureURL(id, 0, 2), nil).status)
	assert.Equal(t, 404, c.do("GET", pictureURL(id, 1, 0), nil).status)

	// What came after an event is sent again, and nothing where there is nothing.
	assert.Equal(t, []string{"image", "done"}, kept(c.follow(id, "Last-Event-ID", events[len(events)-3].id)))
	assert.Empty(t, c.follow(id, "Last-Event-ID", events[len(events)-1].id))

	assert.Equal(t, 204, c.do("DELETE", "/v1/runs/"+id, nil).status)
	assert.Equal(t, 404, c.do("GET", "/v1/runs/"+id, nil).status)
	assert.Equal(t, 404, c.do("GET", pictureURL(id, 0, 0), nil).status)
}

// TestSameWhateverTheForm submits one run in several forms: in JSON with other programs' names, in TOML, and in other formats.
func TestSameWhateverTheForm(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{}))
	file := func(id string) []byte {
		require.Equal(t, "done", c.end(id).name)
		return c.do("GET", pictureURL(id, 0, 0), nil).body
	}
	want := file(c.submit(run()))
	assert.Equal(t, want, file(c.submit(map[string]any{"prompt": "x", "seed": 7, "steps": 2, "width": 64, "height": 64,
		"sampler_name": "Euler"})))
	a := c.do("POST", "/v1/runs", "prompt = \"x\"\nseed = 7\nnum_inference_steps = 2\nwidth = 64\nheight = 64\n",
		"Content-Type", "application/toml")
	require.Equal(t, 202, a.status, string(a.body))
	assert.Equal(t, want, file(a.table(t)["id"].(string)))
	for format, begin := range map[string]string{"png": "\x89PNG", "jpeg": "\xff\xd8", "webp": "RIFF"} {
		id := c.submit(run(), "format="+format)
		assert.True(t, strings.HasPrefix(string(file(id)), begin), format)
		assert.Equal(t, "image/"+format, c.do("GET", pictureURL(id, 0, 0), nil).header.Get("Content-Type"))
	}
	id := c.submit(run("output", "sub/../../x.jpg"))
	assert.True(t, strings.HasPrefix(string(file(id)), "\xff\xd8"))
	assert.Contains(t, string(c.do("GET", "/v1/runs/"+id, nil).body), "nothing is written under this name")
}

// TestInputs gives pictures as data URLs and as uploads: the runs are the same.
func TestInputs(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{}))
	data := pngFile(t)
	a := c.do("POST", "/v1/uploads", data, "Content-Type", "application/octet-stream")
	require.Equal(t, 201, a.status, string(a.body))
	ref := a.table(t)["ref"].(string)
	var files [][]byte
	for _, picture := range []string{ref, "data:image/png;base64," + base64.StdEncoding.EncodeToString(data)} {
		id := c.submit(run("init_image", picture, "strength", 1.0))
		require.Equal(t, "done", c.end(id).name)
		files = append(files, c.do("GET", pictureURL(id, 0, 0), nil).body)
		assert.NotContains(t, string(c.do("GET", "/v1/runs/"+id, nil).body), "base64")
	}
	assert.Equal(t, files[0], files[1])
	a = c.do("POST", "/v1/runs", run("init_image", "upload:"+strings.Repeat("0", 64)))
	assert.Equal(t, 422, a.status)
	assert.Contains(t, string(a.body), "no such upload")
}

// TestKeysFindTheFirstRun submits again under an idempotency key.
func TestKeysFindTheFirstRun(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{}))
	id := c.do("POST", "/v1/runs", run("seed", -1), "Idempotency-Key", "k").table(t)["id"]
	for range 2 {
		assert.Equal(t, id, c.do("POST", "/v1/runs", run("seed", -1), "Idempotency-Key", "k").table(t)["id"])
		c.end(id.(string))
	}
	assert.Equal(t, 409, c.do("POST", "/v1/runs", run("seed", 1), "Idempotency-Key", "k").status)
	assert.NotEqual(t, id, c.do("POST", "/v1/runs", run("seed", -1), "Idempotency-Key", "other").table(t)["id"])
	assert.Len(t, c.do("GET", "/v1/runs", nil).table(t)["runs"], 2)
}

// gate lets the UNet compute as often as it is told.
type gate chan struct{}

func (g gate) hook(ctx context.Context, call fake.Call) error {
	if call.Op != fake.OpUNet {
		return nil
	}
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestCancelAndPriority gives up a run in work and one that waits, and moves another.
func TestCancelAndPriority(t *testing.T) {
	g := make(gate)
	s := servetest.Start(t, servetest.Options{Hook: g.hook})
	c := of(t, s)
	inWork := c.submit(run("num_images", 100))
	require.Eventually(t, func() bool { return c.do("GET", "/v1/runs/"+inWork, nil).table(t)["state"] == "running" }, long, time.Millisecond)
	a := c.do("PATCH", "/v1/runs/"+inWork, map[string]int{"priority": 3})
	assert.Equal(t, 409, a.status, string(a.body))
	assert.Equal(t, 200, c.do("POST", "/v1/runs/"+inWork+"/cancel", nil).status)
	last := c.end(inWork)
	assert.Equal(t, "error", last.name)
	assert.Equal(t, "cancelled", last.data["state"])
	assert.Equal(t, 409, c.do("POST", "/v1/runs/"+inWork+"/cancel", nil).status)
	close(g)
	assert.Equal(t, "done", c.end(c.submit(run())).name)
}

// TestWaitingRuns changes runs that nobody makes.
func TestWaitingRuns(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{Idle: true}))
	a, b := c.submit(run()), c.submit(run())
	assert.EqualValues(t, 1, c.do("GET", "/v1/runs/"+b, nil).table(t)["ahead"])
	got := c.do("PATCH", "/v1/runs/"+b, map[string]int{"priority": 3})
	require.Equal(t, 200, got.status, string(got.body))
	assert.EqualValues(t, 0, c.do("GET", "/v1/runs/"+b, nil).table(t)["ahead"])
	assert.Equal(t, 422, c.do("PATCH", "/v1/runs/"+b, map[string]int{"priority": 11}).status)
	assert.Equal(t, 200, c.do("POST", "/v1/runs/"+a+"/cancel", nil).status)
	assert.Equal(t, "error", c.end(a).name)
	assert.Len(t, c.do("GET", "/v1/runs?state=queued", nil).table(t)["runs"], 1)
	assert.Equal(t, 409, c.do("DELETE", "/v1/runs/"+b, nil).status)
	assert.Equal(t, 409, c.do("POST", "/v1/runs/"+b+"/resubmit", nil).status)
}

// TestPages lists more runs than fit on a page.
func TestPages(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{Idle: true}))
	var want, got []string
	for range 7 {
		want = append([]string{c.submit(run())}, want...)
	}
	for after := ""; ; {
		page := c.do("GET", "/v1/runs?limit=3&after="+after, nil).table(t)
		for _, r := range page["runs"].([]any) {
			got = append(got, r.(map[string]any)["id"].(string))
		}
		next, more := page["next"]
		if !more {
			break
		}
		after = next.(string)
	}
	assert.Equal(t, want, got)
}

// TestRestart stops a server with runs in work and waiting, and starts another one in its folder: every picture is there once, and the
// events go on.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	g := make(gate)
	s := servetest.Start(t, servetest.Options{Dir: dir, Hook: g.hook, Queue: durable.Options{AckWait: 2 * time.Second}})
	c := of(t, s)
	var ids []string
	for range 5 {
		ids = append(ids, c.submit(run("num_images", 3, "max_batch", 1)))
	}
	for range 2 * 4 { // four pictures of two steps
		g <- struct{}{}
	}
	go func() {
		for {
			select {
			case g <- struct{}{}:
			case <-time.After(long):
				return
			}
		}
	}()
	s.Stop()
	s = servetest.Start(t, servetest.Options{Dir: dir, Queue: durable.Options{AckWait: 2 * time.Second}})
	c = of(t, s)
	for _, id := range ids {
		events := c.follow(id)
		require.Equal(t, "done", events[len(events)-1].name)
		images := map[any]int{}
		for _, e := range events {
			if e.name == "image" {
				images[e.data["index"]]++
			}
		}
		assert.Equal(t, map[any]int{0.0: 1, 1.0: 1, 2.0: 1}, images)
		assert.EqualValues(t, 3, c.do("GET", "/v1/runs/"+id, nil).table(t)["made"])
	}
}
