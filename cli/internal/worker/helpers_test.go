package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// childEnv makes this test binary a Server on the fake backend, as the Supervisor's tests start it.
const childEnv = "DAGUERRE_TEST_WORKER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		os.Exit(serveAsChild(mode))
	}
	os.Exit(m.Run())
}

func serveAsChild(mode string) int {
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		switch {
		case call.Op == fake.OpUNet && call.Wrap != 0:
			<-ctx.Done()
			return ctx.Err()
		case call.Op == fake.OpUNet:
			time.Sleep(2 * time.Millisecond)
		case call.Op == fake.OpOpen && mode == "dies-opening" && os.Getenv(SupervisedEnv) != "0":
			os.Exit(7)
		case call.Op == fake.OpOpen && fileExists(strings.TrimPrefix(mode, "fails-opening-while:")):
			return errors.New("planted: the disk is away")
		}
		return nil
	}}
	o := fakeOptions(b)
	o.Restarts = RestartsOf(os.Getenv(SupervisedEnv))
	o.Limit, o.Supervised, o.MaxModels = 5000, true, 2
	if err := New(o).Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fakeOptions are those of a Server on the fake backend. Its pictures carry their prompt as text.
func fakeOptions(b *fake.Backend) Options {
	return Options{
		Options: service.Options{
			Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
				return pipeline.Open(ctx, cfg, pipeline.WithBackend(b))
			},
			Devices: b.Devices,
			Classify: func(err error) service.Code {
				switch {
				case errors.Is(err, request.ErrInvalid):
					return service.CodeInvalid
				case errors.Is(err, os.ErrNotExist):
					return service.CodeBadFile
				case errors.Is(err, errFakeMemory):
					return service.CodeOutOfMemory
				}
				return service.CodeFailed
			},
			Texts: func(_ context.Context, _ request.Model, plan *pipeline.Result, _ pipeline.Image) ([]imagefile.Text, error) {
				return []imagefile.Text{{Keyword: "prompt", Value: plan.Request.Prompt}}, nil
			},
		},
		Store:   service.Files{Writer: &output.Writer{}},
		Library: func() Library { return Library{"fake 1", "none"} },
		Version: "test",
	}
}

var errFakeMemory = errors.New("the fake's memory is full")

// server is what client talks to: a Server or a Supervisor.
type server interface {
	Serve(ctx context.Context, in io.Reader, out io.Writer) error
}

// The codes as the client reads them.
const (
	codeDuplicateID = string(service.CodeDuplicateID)
	codeInvalid     = string(service.CodeInvalid)
	codeNotFound    = string(service.CodeNotFound)
	codeNotRunning  = string(service.CodeNotRunning)
	codeQueueFull   = string(service.CodeQueueFull)
	codeBusy        = string(service.CodeBusy)
	codeBadFile     = string(service.CodeBadFile)
	codeOutOfMemory = string(service.CodeOutOfMemory)
	codeCancelled   = string(service.CodeCancelled)
	codeDeadline    = string(service.CodeDeadline)
)

// client talks to a Server as another program would.
type client struct {
	t    *testing.T
	in   *io.PipeWriter
	done chan struct{} // Serve returned, and all was read
	err  error         // of Serve

	mu     sync.Mutex
	wake   *sync.Cond
	events []map[string]any
	lines  []string
	over   bool
	on     func(map[string]any) // called with each event, while the server waits
}

// talk starts a Server and reads what it writes.
func talk(ctx context.Context, t *testing.T, s server) *client {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := listen(t, inW, outR)
	go func() {
		c.err = s.Serve(ctx, inR, outW)
		_ = outW.Close()
		_ = inR.Close()
	}()
	return c
}

// listen reads what a server writes.
func listen(t *testing.T, in *io.PipeWriter, out io.Reader) *client {
	c := &client{t: t, in: in, done: make(chan struct{})}
	c.wake = sync.NewCond(&c.mu)
	go func() {
		defer close(c.done)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			c.mu.Lock()
			if err != nil {
				c.over = true
				c.wake.Broadcast()
				c.mu.Unlock()
				return
			}
			var e map[string]any
			if json.Unmarshal([]byte(line), &e) != nil {
				t.Errorf("not JSON: %s", line)
			}
			c.events, c.lines = append(c.events, e), append(c.lines, line)
			c.wake.Broadcast()
			on := c.on
			c.mu.Unlock()
			if on != nil {
				on(e)
			}
		}
	}()
	return c
}

// start is talk with a Server on the fake backend, which must end in order.
func start(t *testing.T, o Options) *client {
	c := talk(context.Background(), t, New(o))
	t.Cleanup(func() { c.end(); assert.NoError(t, c.err) })
	return c
}

// send writes lines; what is no string is written as JSON.
func (c *client) send(lines ...any) {
	c.t.Helper()
	for _, l := range lines {
		text, ok := l.(string)
		if !ok {
			data, err := json.Marshal(l)
			require.NoError(c.t, err)
			text = string(data)
		}
		_, err := io.WriteString(c.in, text+"\n")
		require.NoError(c.t, err)
	}
}

// end closes the input and waits for the end.
func (c *client) end() {
	_ = c.in.Close()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.t.Error("the server does not end")
	}
}

// get reads a field in whatever casing.
func get(e map[string]any, key string) any {
	for k, v := range e {
		if strings.EqualFold(strings.ReplaceAll(k, "_", ""), strings.ReplaceAll(key, "_", "")) {
			return v
		}
	}
	return nil
}

func isEnd(e map[string]any) bool {
	name := get(e, "event")
	return name == "done" || name == "error"
}

// wait waits for an event that f takes, and returns it.
func (c *client) wait(what string, f func(map[string]any) bool) map[string]any {
	c.t.Helper()
	timer := time.AfterFunc(time.Minute, func() { c.mu.Lock(); c.over = true; c.mu.Unlock(); c.wake.Broadcast() })
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; ; i++ {
		for i >= len(c.events) {
			if c.over {
				require.Fail(c.t, "no event "+what, "%v", c.lines)
			}
			c.wake.Wait()
		}
		if f(c.events[i]) {
			return c.events[i]
		}
	}
}

// last waits for the last event of a request.
func (c *client) last(id any) map[string]any {
	c.t.Helper()
	return c.wait(fmt.Sprint("end of ", id), func(e map[string]any) bool { return sameID(get(e, "id"), id) && isEnd(e) })
}

// event waits for an event of a request.
func (c *client) event(id any, name string) map[string]any {
	c.t.Helper()
	return c.wait(fmt.Sprint(name, " of ", id), func(e map[string]any) bool { return sameID(get(e, "id"), id) && get(e, "event") == name })
}

func sameID(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// of lists the events of a request so far.
func (c *client) of(id any) (out []map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if sameID(get(e, "id"), id) {
			out = append(out, e)
		}
	}
	return out
}

// names lists the names of events.
func names(events []map[string]any) (out []string) {
	for _, e := range events {
		out = append(out, fmt.Sprint(get(e, "event")))
	}
	return out
}

// promptOf reads the text of a picture that came as base64.
func promptOf(t *testing.T, e map[string]any) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(get(e, "data").(string))
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	texts, err := imagefile.ReadText(data)
	require.NoError(t, err)
	for _, x := range texts {
		if x.Keyword == "prompt" {
			return x.Value
		}
	}
	return ""
}

type object = map[string]any

// small is a quick generate.
func small(id any, extra object) object {
	r := object{"model": "nano", "prompt": "x", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7}
	for k, v := range extra {
		r[k] = v
	}
	return object{"id": id, "type": "generate", "request": r}
}

// endless is a generate that a supervised process computes until it is given up: what a test does meanwhile may take any time.
func endless(id any, extra object) object {
	r := object{"seamless": "both"}
	for k, v := range extra {
		r[k] = v
	}
	return small(id, r)
}

// behind waits until all requests that were sent before are in the queue of the model: a model does things in their order.
func (c *client) behind(model any) {
	c.t.Helper()
	c.send(object{"id": "behind", "type": "load", "request": object{"model": model}})
	require.Equal(c.t, "done", c.last("behind")["event"])
}

// all lists the events of a name so far.
func (c *client) all(name string) (out []map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if get(e, "event") == name {
			out = append(out, e)
		}
	}
	return out
}

// ofEnd lists the last events of requests with an id so far.
func (c *client) ofEnd(id any) (out []map[string]any) {
	for _, e := range c.of(id) {
		if isEnd(e) {
			out = append(out, e)
		}
	}
	return out
}

// until waits until f holds, which is asked after every event.
func (c *client) until(what string, f func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			require.Fail(c.t, "never: "+what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// pictureOf has a picture made and returns its file in base64.
func (c *client) pictureOf(id string) string {
	c.t.Helper()
	c.send(small(id, nil))
	require.Equal(c.t, "done", get(c.last(id), "event"))
	return get(c.event(id, "image"), "data").(string)
}

// adapterFolder has an adapter, "ink", for a module of the fake.
func adapterFolder(t *testing.T) string {
	t.Helper()
	const key, width = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q", 16
	header, err := json.Marshal(object{
		key + ".lora_down.weight": object{"dtype": "F32", "shape": []int{2, width}, "data_offsets": []int{0, 8 * width}},
		key + ".lora_up.weight":   object{"dtype": "F32", "shape": []int{width, 2}, "data_offsets": []int{8 * width, 16 * width}},
	})
	require.NoError(t, err)
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range 4 * width {
		file = binary.LittleEndian.AppendUint32(file, 0x3c000000|uint32(i*2654435761)>>16)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ink.safetensors"), file, 0o600))
	return dir
}

// inked is a request with the adapter.
func inked(id any, weight float64, extra object) object {
	r := object{"model": nil, "num_inference_steps": 4, "lora": []object{{"name": "ink", "weight": weight}}}
	for k, v := range extra {
		r[k] = v
	}
	return small(id, r)
}
