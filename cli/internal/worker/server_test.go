package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestGenerate(t *testing.T) {
	c := start(t, fakeOptions(&fake.Backend{}))
	hello := c.wait("hello", func(e object) bool { return e["event"] == "hello" })
	assert.Equal(t, object{"id": nil, "event": "hello", "time": hello["time"], "protocol": 1.0, "version": "test", "library": "fake 1",
		"engine": "none",
		"types":  hello["types"], "max_line": float64(DefaultMaxLine), "supervised": false, "pid": float64(os.Getpid())}, hello)
	m := small("a", object{"prompt": "a red circle", "num_images": 3, "max_batch": 2})
	m["deliver"] = object{"previews": 1}
	c.send(m)
	done := c.last("a")
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 3.0, done["images"])
	assert.Equal(t, []any{7.0}, done["seeds"])
	seen := names(c.of("a"))
	assert.Equal(t, []string{"accepted", "started"}, seen[:2])
	var indices, seeds []any
	for _, e := range c.of("a") {
		switch e["event"] {
		case "image":
			indices, seeds = append(indices, e["index"]), append(seeds, e["seed"])
			assert.Equal(t, "a red circle", promptOf(t, e))
			assert.Equal(t, 64.0, e["width"])
			assert.Nil(t, e["path"])
		case "preview":
			assert.Equal(t, "jpeg", e["format"])
			assert.NotEmpty(t, e["data"])
		}
	}
	assert.Equal(t, []any{0.0, 1.0, 2.0}, indices)
	assert.Equal(t, []any{7.0, 8.0, 9.0}, seeds)
	assert.Contains(t, seen, "progress")
	assert.Contains(t, seen, "preview")
}

func TestPicturesAsFilesAndLatents(t *testing.T) {
	dir := t.TempDir()
	c := start(t, fakeOptions(&fake.Backend{}))
	c.send(small(1, object{"output": filepath.Join(dir, "{seed}.webp"), "num_images": 2, "save_latents": filepath.Join(dir, "l.npy")}))
	both := small(2, object{"output": filepath.Join(dir, "both.jpg")})
	both["deliver"] = object{"images": "both", "format": "webp", "progress": false}
	c.send(both)
	assert.Equal(t, "done", c.last(1)["event"])
	assert.Equal(t, "done", c.last(2)["event"])
	for _, name := range []string{"7.webp", "8.webp", "l.npy", "both.jpg"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}
	image := c.event(2, "image")
	assert.Equal(t, filepath.Join(dir, "both.jpg"), image["path"])
	assert.Equal(t, "webp", image["format"])
	assert.NotEmpty(t, image["data"])
	assert.NotContains(t, names(c.of(2)), "progress")
	assert.Equal(t, []any{2.0, 4.0, 8.0, 8.0}, c.event(1, "latents")["shape"])
}

// Requests that can be computed together are, and their pictures are what each would have had alone.
func TestRequestsShareABatch(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := start(t, fakeOptions(&fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			once.Do(func() { close(entered); <-proceed })
		}
		return nil
	}}))
	c.send(small("first", nil))
	<-entered
	seeing := small("e", nil)
	seeing["deliver"] = object{"previews": 1}
	c.send(small("a", object{"prompt": "a fox", "seed": 3}), small("b", object{"prompt": "a hen", "seed": 9}), seeing)
	c.send(`{"id":"behind","type":"load","request":{"model":"nano"}}`)
	c.last("behind") // a model does things in their order: the others are in its queue now
	close(proceed)
	for _, id := range []string{"first", "a", "b"} {
		assert.Equal(t, "done", c.last(id)["event"])
	}
	for _, id := range []string{"a", "b"} {
		var most float64
		for _, e := range c.of(id) {
			if e["event"] == "progress" {
				most = max(most, e["batch"].(float64))
				assert.Equal(t, 1.0, e["images"])
			}
		}
		assert.Equal(t, 2.0, most, id)
	}
	c.send(small("c", object{"prompt": "a fox", "seed": 3}))
	c.last("c")
	c.send(small("d", object{"prompt": "a hen", "seed": 9}))
	c.last("d")
	c.last("e")
	for _, e := range c.all("preview") {
		assert.Equal(t, "e", e["id"], "only who asks for previews gets them")
	}
	assert.NotEmpty(t, c.all("preview"))
	assert.NotEmpty(t, c.event("a", "image")["data"])
	assert.Equal(t, c.event("c", "image")["data"], c.event("a", "image")["data"])
	assert.Equal(t, c.event("d", "image")["data"], c.event("b", "image")["data"])
}

// Where a batch does not fit into memory its pictures are made in smaller ones.
func TestMemoryRunsOut(t *testing.T) {
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet && call.Batch > 2 { // a picture with guidance
			return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
		}
		return nil
	}}))
	c.send(small("a", object{"num_images": 4, "max_batch": 4, "guidance_batch": "joint"}))
	done := c.last("a")
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 4.0, done["images"])
	assert.Nil(t, done["failed"])
}

// What was done otherwise than one may expect is told once for a job, however many batches meet it.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged.safetensors"), []byte("no file of tensors"), 0o600))
	c := start(t, fakeOptions(&fake.Backend{}))
	model := object{"model": "nano", "embedding_directories": []string{dir}}
	c.send(small("a", object{"model": model, "prompt": "a damaged word", "num_images": 3, "max_batch": 1}), small("b", object{"model": model}))
	assert.Equal(t, "done", c.last("a")["event"])
	assert.Equal(t, "done", c.last("b")["event"])
	warnings := c.all("warning")
	require.Len(t, warnings, 1)
	assert.Equal(t, "a", warnings[0]["id"])
	assert.Contains(t, warnings[0]["message"], `the prompt names "damaged", whose file is not used`)
}

func TestBadLines(t *testing.T) {
	o := fakeOptions(&fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil
	}})
	o.MaxLine = 1 << 20
	c := start(t, o)
	line := 0
	bad := func(text, code, says string, withID bool) {
		t.Helper()
		before := len(c.all("error"))
		line++
		c.send(text)
		c.until(code, func() bool { return len(c.all("error")) > before })
		errs := c.all("error")
		last := errs[len(errs)-1]
		assert.Equal(t, code, get(last, "code"), text)
		assert.Contains(t, get(last, "message"), says, text)
		assert.Equal(t, withID, get(last, "id") != nil, text)
		if !withID {
			assert.Equal(t, float64(line), get(last, "line"), text)
		}
	}
	bad(`nope`, codeBadJSON, "not a JSON object", false)
	bad(`[1]`, codeBadJSON, "not a JSON object", false)
	bad(`{"id":1} {"id":2}`, codeBadJSON, "something follows", false)
	bad("\x00\xff", codeBadJSON, "not a JSON object", false)
	bad(strings.Repeat("[", 100000), codeBadJSON, "not a JSON object", false)
	bad(`{"type":"status"}`, codeBadMessage, "id: is missing", false)
	bad(`{"id":{},"type":"status"}`, codeBadMessage, "id: is no string or a number", false)
	bad(`{"id":"`+strings.Repeat("x", 300)+`","type":"status"}`, codeBadMessage, "id: is no string", false)
	bad(`{"id":1}`, codeBadMessage, "type: is missing", true)
	bad(`{"id":1,"type":"status","request":[]}`, codeBadMessage, "request: is no object", true)
	bad(`{"id":1,"type":"status","protocol":2}`, codeWrongVersion, "protocol 2 is not spoken here; this is version 1", true)
	bad(`{"id":1,"type":"statsu"}`, codeUnknownType, `did you mean "status"?`, true)
	bad(`{"id":1,"type":"status","reqest":{}}`, codeBadMessage, `did you mean "request"?`, true)
	bad(`{"id":1,"type":"generate","priority":"high"}`, codeBadMessage, "priority: is no integer", true)
	bad(`{"id":1,"type":"generate","deliver":{"images":"carrier pigeon","previews":-1,"x":1}}`, codeBadMessage, "deliver.images", true)
	bad(`{"id":1,"type":"generate","request":{"width":9,"prompt":3}}`, codeInvalid, "prompt: is 3", true)
	bad(`{"Id":1,"Type":"generate","Request":{"Width":9,"Prompt":"x"}}`, codeInvalid, "Width: is 9", true)
	bad(`{"id":1,"type":"generate","request":{"prompt":"x"}}`, codeNotFound, "no model is loaded", true)
	bad(`{"id":1,"type":"generate","request":{"model":"nano","jobs":[{},{}]}}`, codeInvalid, "batch takes several", true)
	bad(`{"id":1,"type":"cancel","request":{"target":"nobody"}}`, codeNotFound, "no request with the id", true)
	bad(`{"id":1,"type":"cancel"}`, codeInvalid, "target: is missing", true)
	bad(`{"id":1,"type":"status","request":{"x":1}}`, codeInvalid, "x: unknown key", true)
	bad(`{"id":1,"type":"unload","request":{"name":"x"}}`, codeNotFound, "no model is loaded", true)
	bad(`{"id":1,"type":"hello","request":{"casing":"kebab"}}`, codeInvalid, "casing", true)
	bad(`{"id":1,"type":"shutdown","request":{"mode":"now"}}`, codeInvalid, "mode", true)
	bad(`{"id":"long","type":"generate","request":{"prompt":"`+strings.Repeat("x", 2<<20)+`"}}`, codeLineTooLong,
		"longer than 1048576 bytes", true)

	c.send(small("busy", nil))
	line++
	c.event("busy", "started")
	bad(`{"id":"busy","type":"status"}`, codeDuplicateID, `the id "busy"`, false)
	bad(`{"id":"busy","type":"generate","request":{"width":9}}`, codeDuplicateID, "", false)
	bad(`{"id":"busy","type":"nothing"}`, codeUnknownType, "", false)
	assert.Equal(t, "done", c.last("busy")["event"], "the others' mistakes are not its own")
	c.send(`{"id":"busy","type":"status"}`)
	c.until("a second end of busy", func() bool { return len(c.ofEnd("busy")) == 2 })
}

// TestHundredMegabyteLine holds that a line which is too long is not kept.
func TestHundredMegabyteLine(t *testing.T) {
	o := fakeOptions(&fake.Backend{})
	o.MaxLine = 1 << 20
	c := start(t, o)
	c.send(`{"id":0,"type":"status"}`)
	c.last(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	_, err := io.WriteString(c.in, `{"id":"huge","type":"generate","request":{"prompt":"`)
	require.NoError(t, err)
	for range 100 {
		_, err = c.in.Write(chunk)
		require.NoError(t, err)
	}
	c.send(`"}}`)
	runtime.ReadMemStats(&after)
	assert.Equal(t, codeLineTooLong, c.last("huge")["code"])
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "bytes allocated for a line of 100 MiB")
	c.send(`{"id":1,"type":"status"}`)
	assert.Equal(t, "done", c.last(1)["event"], "the next line is read as before")
}

// TestThousandRequests sends requests of random validity, in random casings, and holds that each is answered once, in its casing, with
// its own pictures.
func TestThousandRequests(t *testing.T) {
	const n = 1000
	o := fakeOptions(&fake.Backend{})
	o.Limit = n
	c := start(t, o)
	r := rand.New(rand.NewPCG(1, 2))
	type sent struct {
		casing request.Casing
		valid  bool
		images int
		prompt string
	}
	wants := make([]sent, n)
	go func() {
		for i := range n {
			w := sent{casing: request.Casings[r.IntN(3)], valid: r.IntN(3) > 0, images: 1 + r.IntN(2), prompt: fmt.Sprint("prompt ", i)}
			key := w.casing.Key
			body := object{key("model"): "nano", key("prompt"): w.prompt, key("num_images"): w.images, key("width"): 64, key("height"): 64,
				key("num_inference_steps"): 1, key("seed"): 1000 * i}
			if !w.valid {
				wrong := []struct {
					k string
					v any
				}{{"width", 65}, {"guidance_scale", -1}, {"guidance_scael", 1}, {"num_images", "many"}, {"scheduler_options", 3}, {"model",
					7}}[r.IntN(6)]
				body[key(wrong.k)] = wrong.v
			}
			wants[i] = w
			c.send(object{key("id"): i, key("type"): "generate", key("request"): body})
		}
	}()
	ended := map[int]int{}
	c.wait("the end of all", func(e object) bool {
		if isEnd(e) {
			ended[int(get(e, "id").(float64))]++
		}
		return len(ended) == n
	})
	c.end()
	require.Len(t, ended, n)
	pictures := map[int]int{}
	c.mu.Lock()
	events := c.events
	c.mu.Unlock()
	total := 0
	for _, e := range events[1:] {
		id := int(get(e, "id").(float64))
		w := wants[id]
		for k := range e {
			assert.Equal(t, w.casing.Key("event") == "Event", k[0] >= 'A' && k[0] <= 'Z', "the casing of %s in %v", k, w.casing)
			if w.casing != request.SnakeCase {
				assert.NotContains(t, k, "_")
			}
		}
		switch get(e, "event") {
		case "done":
			assert.True(t, w.valid, id)
			total++
		case "error":
			assert.False(t, w.valid, "%d: %v", id, e)
			assert.Equal(t, codeInvalid, get(e, "code"))
			assert.NotEmpty(t, get(e, "fields"))
		case "image":
			seed := int(get(e, "seed").(float64))
			assert.Equal(t, 1000*id+pictures[id], seed, "pictures of %d", id)
			pictures[id]++
			if id%7 == 0 {
				assert.Equal(t, w.prompt, promptOf(t, e))
			}
		}
	}
	for id, w := range wants {
		assert.Equal(t, 1, ended[id], "ends of %d", id)
		if w.valid {
			assert.Equal(t, w.images, pictures[id], "pictures of %d", id)
		}
	}
	assert.Greater(t, total, n/2)
}

func TestCancel(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	c.send(small("a", object{"num_images": 3, "max_batch": 1}), small("b", nil), small("c", nil), small("d", nil))
	c.event("a", "started")
	c.send(`{"id":"x1","type":"cancel","request":{"target":"c"}}`)
	assert.Equal(t, "done", c.last("x1")["event"])
	assert.Equal(t, codeCancelled, c.last("c")["code"])
	c.send(`{"id":"x2","type":"cancel","request":{"target":"a","index":2}}`)
	assert.Equal(t, "done", c.last("x2")["event"])
	failed := c.event("a", "failed")
	assert.Equal(t, 2.0, failed["index"])
	assert.Equal(t, codeCancelled, failed["code"])
	c.send(`{"id":"x3","type":"cancel","request":{"target":"a","index":2}}`)
	assert.Equal(t, codeNotFound, c.last("x3")["code"])
	c.send(`{"id":"s","type":"status"}`)
	status := c.last("s")["result"].(object)
	assert.Len(t, status["requests"], 3)
	assert.Len(t, status["models"], 1)
	stop, fed := make(chan struct{}), make(chan struct{})
	go func() { // how many evaluations a takes depends on what it shares batches with
		defer close(fed)
		for {
			select {
			case gate <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	done := c.last("a")
	close(stop)
	<-fed
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 2.0, done["images"])
	assert.Equal(t, 1.0, done["failed"])
	c.event("d", "accepted")
	c.send(`{"id":"x4","type":"cancel","request":{"all":true}}`)
	for _, id := range []string{"b", "d"} {
		c.last(id)
	}
	assert.Contains(t, []any{"done", "error"}, c.last("d")["event"])
	close(gate)
}

func TestCancelledWhileTheModelLoads(t *testing.T) {
	loading, gate := make(chan struct{}), make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpOpen {
			close(loading)
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	c.send(small("a", nil), small("b", nil))
	<-loading
	c.event("b", "accepted")
	c.send(`{"id":"x","type":"cancel","request":{"target":"a"}}`)
	assert.Equal(t, codeCancelled, c.last("a")["code"], "at once")
	close(gate)
	assert.Equal(t, "done", c.last("b")["event"], "which waits for the same model")
}

func TestDeadlineAndPriority(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	late := small("late", nil)
	late["deadline_seconds"] = 0.05
	high := small("high", nil)
	high["priority"] = 5
	c.send(small("first", nil))
	c.event("first", "progress") // its batch has begun, and takes no others
	c.send(small("low", nil), late, high)
	assert.Equal(t, codeDeadline, c.last("late")["code"])
	c.send(`{"id":"s","type":"status"}`)
	c.last("s")
	close(gate)
	c.last("low")
	c.last("high")
	var order []any
	for _, e := range c.all("started") {
		order = append(order, e["id"])
	}
	assert.Equal(t, []any{"first", "high", "low"}, order)
}

func TestEndOfInput(t *testing.T) {
	slow := func() *fake.Backend {
		return &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
			if call.Op == fake.OpUNet {
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}}
	}
	for _, cancel := range []bool{false, true} {
		o := fakeOptions(slow())
		o.CancelOnEOF = cancel
		c := talk(t.Context(), t, New(o))
		c.send(small(1, nil), small(2, nil))
		c.event(1, "started")
		c.end()
		require.NoError(t, c.err)
		for id := 1; id <= 2; id++ {
			ends := c.ofEnd(id)
			require.Len(t, ends, 1)
			assert.Equal(t, map[bool]string{false: "done", true: "error"}[cancel], ends[0]["event"])
		}
	}
	// A cancelled context, as SIGTERM cancels it, while the input stays open.
	ctx, stop := context.WithCancel(t.Context())
	c := talk(ctx, t, New(fakeOptions(slow())))
	c.send(small(1, object{"num_inference_steps": 100}), small(2, nil))
	c.event(1, "started")
	c.event(2, "accepted")
	stop()
	<-c.done
	require.ErrorIs(t, c.err, context.Canceled)
	for id := 1; id <= 2; id++ {
		ends := c.ofEnd(id)
		require.Len(t, ends, 1)
		assert.Equal(t, codeCancelled, ends[0]["code"])
	}
	// A shutdown.
	c = talk(t.Context(), t, New(fakeOptions(slow())))
	c.send(small(1, nil), `{"id":2,"type":"shutdown"}`)
	<-c.done
	require.NoError(t, c.err)
	assert.Equal(t, "done", c.last(1)["event"])
	assert.Equal(t, "done", c.last(2)["event"])
}

// TestClientThatReadsNoMore holds that a client which went away ends the work.
func TestClientThatReadsNoMore(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- New(fakeOptions(&fake.Backend{})).Serve(context.Background(), inR, outW)
	}()
	buf := make([]byte, 1)
	_, err := outR.Read(buf)
	require.NoError(t, err)
	require.NoError(t, outR.Close())
	go func() { _, _ = io.WriteString(inW, `{"id":1,"type":"status"}`+"\n") }()
	select {
	case err := <-ended:
		assert.ErrorIs(t, err, io.ErrClosedPipe)
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestModels(t *testing.T) {
	b := &fake.Backend{}
	o := fakeOptions(b)
	o.MaxModels = 2
	c := start(t, o)
	c.send(`{"id":1,"type":"load","request":{"model":"nano","name":"one"}}`)
	loaded := c.last(1)
	require.Equal(t, "done", loaded["event"], loaded)
	assert.Equal(t, "one", loaded["result"].(object)["name"])
	assert.Equal(t, true, loaded["result"].(object)["loaded"])
	c.send(`{"id":2,"type":"load","request":{"model":{"model":"nano","threads":2},"name":"two"}}`,
		`{"id":3,"type":"load","request":{"model":"nano","threads":3,"name":"two"}}`)
	require.Equal(t, "done", c.last(2)["event"])
	assert.Equal(t, codeInvalid, c.last(3)["code"], "another model of that name is open")
	c.send(small(4, object{"model": "one"}), small(5, object{"model": nil}), small(6, object{"model": object{"model": "nano", "threads": 2}}))
	for id := 4; id <= 6; id++ {
		require.Equal(t, "done", c.last(id)["event"])
	}
	assert.Equal(t, 2, b.LiveModels())
	c.send(`{"id":7,"type":"load","request":{"model":{"model":"nano","threads":3},"name":"three"}}`)
	require.Equal(t, "done", c.last(7)["event"])
	assert.Equal(t, 2, b.LiveModels(), "the one that was not used for longest was closed")
	c.send(`{"id":8,"type":"status"}`)
	var open []any
	for _, m := range c.last(8)["result"].(object)["models"].([]any) {
		open = append(open, m.(object)["name"])
	}
	assert.Equal(t, []any{"two", "three"}, open)
	c.send(`{"id":9,"type":"unload","request":{"name":"two"}}`, `{"id":10,"type":"unload"}`)
	require.Equal(t, "done", c.last(9)["event"])
	require.Equal(t, "done", c.last(10)["event"])
	assert.Equal(t, 0, b.LiveModels())
	c.send(`{"id":11,"type":"load","request":{"model":{"modul":"nano"}}}`, `{"id":12,"type":"load"}`,
		`{"id":13,"type":"load","request":{"model":"nano","name":3}}`)
	assert.Equal(t, codeInvalid, c.last(11)["code"])
	assert.Equal(t, codeInvalid, c.last(12)["code"])
	assert.Equal(t, codeInvalid, c.last(13)["code"])
}

func TestModelsInUseAndFullQueue(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			<-gate
		}
		return nil
	}}
	o := fakeOptions(b)
	o.Limit = 2
	c := start(t, o)
	c.send(small(1, nil))
	c.event(1, "started")
	c.send(small(2, object{"model": object{"model": "nano", "threads": 2}}), small(3, nil), small(4, nil), `{"id":5,"type":"status"}`)
	assert.Equal(t, codeBusy, c.last(2)["code"])
	assert.Equal(t, codeQueueFull, c.last(4)["code"])
	assert.Equal(t, "done", c.last(5)["event"], "a status is always answered")
	close(gate)
	assert.Equal(t, "done", c.last(3)["event"])
}

func TestFailures(t *testing.T) {
	var fail error
	b := &fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpDecodeLatents {
			return fail
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	fail = errFakeMemory
	c.send(small(1, nil))
	e := c.last(1)
	assert.Equal(t, codeOutOfMemory, e["code"])
	assert.Equal(t, 4.0, e["exit_code"])
	fail = errors.New("broken")
	c.send(`{"id":2,"type":"batch","request":{"model":"nano","width":64,"height":64,"steps":1,"jobs":[{"prompt":"a"},{"prompt":"b","init_image":"/none.png"}]}}`)
	assert.Equal(t, "error", c.last(2)["event"])
	fail = nil
	c.send(`{"id":3,"type":"batch","request":{"model":"nano","width":64,"height":64,"steps":1,"jobs":[{"prompt":"a"},{"prompt":"b","init_image":"/none.png"}]}}`)
	e = c.last(3)
	assert.Equal(t, "done", e["event"])
	assert.Equal(t, 1.0, e["images"])
	failed := c.event(3, "failed")
	assert.Equal(t, 1.0, failed["job"])
	assert.Nil(t, failed["index"])
	assert.Equal(t, "jobs[1].init_image", failed["fields"].([]any)[0].(object)["path"])
}

func TestInformation(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "canny.safetensors"), nil, 0o600))
	c := start(t, fakeOptions(&fake.Backend{}))
	c.send(object{"id": 0, "type": "load", "request": object{"model": object{"model": "nano", "controlnet_directories": []string{dir}}}})
	require.Equal(t, "done", c.last(0)["event"])
	c.send(`{"id":1,"type":"devices"}`, `{"id":2,"type":"memory"}`, `{"id":3,"type":"controlnet"}`, `{"id":4,"type":"lora"}`,
		`{"id":5,"type":"hello","request":{"casing":"pascalCase"}}`)
	assert.Equal(t, "cpu", c.last(1)["result"].(object)["devices"].([]any)[0].(object)["id"])
	memory := c.last(2)["result"].(object)
	assert.Greater(t, memory["go_heap"], 0.0)
	assert.Len(t, memory["models"], 1)
	controls := c.last(3)["result"].(object)
	assert.Equal(t, []any{filepath.Join(dir, "canny.safetensors")}, controls["nets"])
	assert.Empty(t, c.last(4)["result"].(object)["adapters"])
	assert.Equal(t, 1.0, c.event(5, "hello")["Protocol"])
	c.send(`{"id":6,"type":"status"}`)
	assert.NotNil(t, c.last(6)["Result"], "the casing of the hello holds where a question shows none")
	png := c.pictureOf("canny input")
	c.send(object{"id": 7, "type": "controlnet", "request": object{"image": "data:image/png;base64," + png, "preprocessor": "canny",
		"width": 32, "height": 32}})
	made := c.last(7)
	require.Equal(t, "done", get(made, "event"), made)
	assert.Equal(t, 32.0, get(made["Result"].(object), "width"))
	c.send(object{"id": 8, "type": "controlnet", "request": object{"image": "/none.png", "preprocessor": "canny"}})
	assert.Equal(t, codeBadFile, get(c.last(8), "code"))
	c.send(object{"id": 9, "type": "controlnet", "request": object{"image": "data:;base64," + png, "preprocessor": "cany"}})
	assert.Equal(t, codeInvalid, get(c.last(9), "code"))
}

// TestMemory asks what a model holds while it computes, and after.
func TestMemory(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet && call.Nth == 1 { // the buffer of the one before is there
			close(entered)
			<-proceed
		}
		return nil
	}}))
	c.send(object{"id": "load", "type": "load", "request": object{"name": "n", "model": object{"model": "nano",
		"lora_directories": []string{adapterFolder(t)}}}})
	loaded := c.last("load")["result"].(object)
	assert.NotContains(t, loaded, "memory", "load tells no figures of the moment")
	held := func(id string) object {
		c.send(object{"id": id, "type": "memory", "request": object{}})
		models := c.last(id)["result"].(object)["models"].([]any)
		require.Len(t, models, 1)
		list := models[0].(object)["memory"].([]any)
		require.Len(t, list, 1, "nothing but the model itself is open")
		return list[0].(object)
	}
	weights := func(m object) (sum float64, names []any) {
		for _, e := range m["components"].([]any) {
			part := e.(object)
			assert.Equal(t, true, part["loaded"], part)
			assert.Positive(t, part["weights"])
			assert.Equal(t, part["weights"], part["weights_peak"])
			sum, names = sum+part["weights"].(float64), append(names, part["name"])
		}
		return sum, names
	}
	before := held("before")
	sum, parts := weights(before)
	assert.Equal(t, []any{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"}, parts)
	assert.Equal(t, object{"components": before["components"], "compute": 0.0, "compute_peak": 0.0, "adapters": 0.0, "adapters_peak": 0.0,
		"total": sum, "total_peak": sum}, before)
	c.send(inked("a", 1, nil))
	<-entered
	during := held("during")
	assert.Positive(t, during["compute"])
	assert.Positive(t, during["adapters"])
	assert.InDelta(t, sum+during["compute"].(float64)+during["adapters"].(float64), during["total"], 0)
	close(proceed)
	require.Equal(t, "done", c.last("a")["event"])
	after := held("after")
	assert.GreaterOrEqual(t, after["compute_peak"], during["compute"])
	assert.GreaterOrEqual(t, after["total_peak"], during["total"])

	c.send(`{"Id":"pascal","Type":"memory"}`)
	pascal := c.last("pascal")["Result"].(object)["Models"].([]any)[0].(object)["Memory"].([]any)[0].(object)
	assert.Equal(t, after["total_peak"], pascal["TotalPeak"])
	assert.Equal(t, "text_encoder", pascal["Components"].([]any)[0].(object)["Name"])
	c.send(`{"id":"status","type":"status"}`)
	assert.NotContains(t, c.last("status")["result"].(object)["models"].([]any)[0], "memory")
}

// TestNothingLeaks runs a thousand jobs and looks for goroutines and models that stay.
func TestNothingLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	b := &fake.Backend{}
	o := fakeOptions(b)
	c := talk(t.Context(), t, New(o))
	go func() {
		for i := range 1000 {
			m := small(i, object{"num_inference_steps": 1, "width": 8, "height": 8})
			m["deliver"] = object{"progress": false}
			c.send(m)
		}
		_ = c.in.Close()
	}()
	<-c.done
	require.NoError(t, c.err)
	assert.Len(t, c.all("done"), 1000)
	assert.Zero(t, b.LiveModels())
	c.until("no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":1,"type":"generate","request":{"prompt":"x"},"deliver":{"images":"path"},"deadline_seconds":3}`))
	f.Add([]byte(`{"ID":"a","tyPe":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, bad := parse(line, request.SnakeCase, false, time.Now())
		if bad == nil && (m.id == nil || m.kind == "") {
			t.Fatalf("%q is taken without an id or a type", line)
		}
		_ = idInPrefix(line)
	})
}
