package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tester is a Runner whose batches are recorded, and spoiled by a hook.
type tester struct {
	name  string
	max   int
	most  Relief
	hook  func(ctx context.Context, b *Batch[int, string]) error // before anything is delivered
	after func(b *Batch[int, string], i int) error               // before task i is delivered
	mem   func() Usage

	mu      sync.Mutex
	ran     [][]int
	keys    []string
	reliefs []Relief
	trims   int
}

func (r *tester) Name() string { return r.name }
func (r *tester) Budget(context.Context, Task[int]) Budget {
	if r.max == 0 {
		return Budget{Max: 100}
	}
	return Budget{Max: r.max, Why: "test"}
}
func (r *tester) MaxRelief() Relief { return r.most }

func (r *tester) Memory() Usage {
	if r.mem != nil {
		return r.mem()
	}
	return Usage{}
}

func (r *tester) Trim(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trims++
	return nil
}

func (r *tester) Run(ctx context.Context, b *Batch[int, string]) error {
	var values []int
	for i := range b.Len() {
		if b.Task(i).Key != b.Task(0).Key {
			panic("keys are mixed")
		}
		values = append(values, b.Task(i).Value)
	}
	r.mu.Lock()
	r.ran, r.keys, r.reliefs = append(r.ran, values), append(r.keys, b.Task(0).Key), append(r.reliefs, b.Relief())
	r.mu.Unlock()
	if r.hook != nil {
		if err := r.hook(ctx, b); err != nil {
			return err
		}
	}
	for i := range b.Len() {
		if r.after != nil {
			if err := r.after(b, i); err != nil {
				return err
			}
		}
		if b.Live(i) {
			b.Deliver(i, fmt.Sprint(b.Task(i).Value))
		}
	}
	return ctx.Err()
}

func (r *tester) batches() [][]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]int(nil), r.ran...)
}

// results collects what a job delivers.
type results struct {
	mu  sync.Mutex
	got map[int]string
	bad map[int]error
}

func (r *results) spec(key string, values ...int) Spec[int, string] {
	r.got, r.bad = map[int]string{}, map[int]error{}
	s := Spec[int, string]{OnResult: func(i int, v string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, twice := r.got[i]; twice {
			panic("delivered twice")
		}
		r.got[i] = v
		return nil
	}, OnError: func(i int, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bad[i] = err
	}}
	for _, v := range values {
		s.Tasks = append(s.Tasks, Task[int]{Key: key, Value: v})
	}
	return s
}

// start makes a Manager that is closed with the test and leaves no goroutine behind.
func start(t *testing.T, opts Options, runners ...*tester) *Manager[int, string] {
	t.Helper()
	before := runtime.NumGoroutine()
	var all []Runner[int, string]
	for i, r := range runners {
		if r.name == "" {
			r.name = fmt.Sprint("runner ", i)
		}
		all = append(all, r)
	}
	m := New(opts, all...)
	t.Cleanup(func() {
		m.Close()
		m.Close()
		// assert.Eventually has goroutines itself
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		assert.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines are left")
	})
	return m
}

func submit(t *testing.T, m *Manager[int, string], s Spec[int, string]) *Job[int, string] {
	t.Helper()
	j, err := m.Submit(t.Context(), s)
	require.NoError(t, err)
	return j
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
