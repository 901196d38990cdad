package durable

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sendings makes messages of runs.
func sendings(names ...string) (list []*sending) {
	for _, name := range names {
		s := &sending{m: nats.NewMsg(Lane{Owner: "a", Model: "nano"}.subject(name, 0)), done: make(chan error, 1)}
		s.m.Header.Set(jetstream.MsgIDHeader, name+".0")
		s.m.Data = []byte(name)
		list = append(list, s)
	}
	return list
}

// answers waits for what became of messages.
func answers(list []*sending) (errs []error) {
	for _, s := range list {
		errs = append(errs, <-s.done)
	}
	return errs
}

// TestTogether puts messages into the stream as one batch. A batch with one that is known is refused as a whole, and then each goes by
// itself.
func TestTogether(t *testing.T) {
	q, ctx := open(t, Options{}), context.Background()
	require.True(t, q.work.CachedInfo().Config.AllowAtomicPublish)
	kept := func() uint64 {
		info, err := q.work.Info(ctx)
		require.NoError(t, err)
		return info.State.Msgs
	}
	first := sendings("x1", "x2", "x3")
	require.NoError(t, q.publisher.batch(ctx, first))
	assert.EqualValues(t, 3, kept())
	var refused *jetstream.APIError
	require.ErrorAs(t, q.publisher.batch(ctx, sendings("y1", "x2")), &refused)
	assert.EqualValues(t, 3, kept(), "all or none")
	few := sendings("y1", "x2", "y2")
	q.publisher.put(ctx, few)
	assert.Equal(t, []error{nil, errTwice, nil}, answers(few))
	assert.EqualValues(t, 5, kept())
	names := []string{"x1"}
	for i := range minTogether {
		names = append(names, fmt.Sprint("many", i))
	}
	many := sendings(names...)
	q.publisher.put(ctx, many)
	assert.Equal(t, append([]error{errTwice}, make([]error, minTogether)...), answers(many))
	assert.EqualValues(t, 5+minTogether, kept())
	alone := sendings("z")
	q.publisher.put(ctx, alone)
	assert.Equal(t, []error{nil}, answers(alone))
	m, err := q.work.GetMsg(ctx, 1)
	require.NoError(t, err)
	assert.Equal(t, "x1", string(m.Data))
}

// TestGather keeps messages apart that have one id, or are too large together.
func TestGather(t *testing.T) {
	p := publisher{in: make(chan *sending, 10)}
	list := sendings("a", "b", "a", "c", "d")
	for _, s := range list[1:] {
		p.in <- s
	}
	got, next := p.gather(list[0])
	assert.Equal(t, list[:2], got)
	assert.Same(t, list[2], next)
	list[3].m.Data = []byte(strings.Repeat("x", maxTogetherBytes))
	got, next = p.gather(next)
	assert.Equal(t, list[2:3], got)
	assert.Same(t, list[3], next)
	got, next = p.gather(next)
	assert.Len(t, got, 1)
	assert.Same(t, list[4], next)
	got, next = p.gather(next)
	assert.Equal(t, list[4:], got)
	assert.Nil(t, next)
}

// TestManySubmitAtOnce has many submit, some of them under one key: each run is there once.
func TestManySubmitAtOnce(t *testing.T) {
	q, ctx := open(t, Options{}), context.Background()
	var fresh atomic.Int64
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			r := record("a")
			if i%4 == 0 {
				r.ID = KeyedID("a", fmt.Sprint(i%20))
			}
			_, ok, err := q.Submit(ctx, r, i%4 == 0)
			assert.NoError(t, err)
			if ok {
				fresh.Add(1)
			}
		})
	}
	all.Wait()
	info, err := q.work.Info(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 75+5, info.State.Msgs)
	assert.EqualValues(t, 75+5, fresh.Load())
	q.Close()
	_, _, err = q.Submit(ctx, record("a"), false)
	assert.Error(t, err, "nothing is sent any more")
}
