package durable

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared starts a server that other queues can reach, and returns the first queue on it and its URL.
func shared(t *testing.T, o Options) (*Queue, string) {
	o.Listen = "127.0.0.1:0"
	q := open(t, o)
	return q, q.embedded.s.ClientURL()
}

// names are the names of the workers that a queue knows.
func names(q *Queue) (list []string) {
	for _, w := range q.Workers() {
		list = append(list, w.Name)
	}
	return list
}

// TestWorkersAreHeardOf tells of workers at one queue, and looks for them at another, which is opened before some and after others.
func TestWorkersAreHeardOf(t *testing.T) {
	ctx := context.Background()
	a, url := shared(t, Options{})
	require.NoError(t, a.Announce(ctx, Presence{Name: "Host name.1", Models: []string{"m"}, Loaded: []string{"m"}, Rate: 2}))
	b := open(t, Options{URL: url, Access: Owns})
	require.Equal(t, []string{"Host name.1"}, names(b))
	require.NoError(t, b.Announce(ctx, Presence{Name: "w2", Models: []string{"m", "other"}, Rate: 3}))
	require.Eventually(t, func() bool { return len(a.Workers()) == 2 }, long, time.Millisecond)
	submit(t, a, record("o"))
	require.Eventually(t, func() bool { return b.Fleet().Waiting == 1 }, long, time.Millisecond)
	f := b.Fleet()
	assert.EqualValues(t, 5, f.Rate)
	require.Len(t, f.Queues, 1)
	assert.Equal(t, 2, f.Queues[0].Workers)
	assert.Equal(t, Lane{0, "o", "m"}, f.Queues[0].Lane)
	require.NoError(t, b.Leave(ctx, "Host name.1"))
	for _, q := range []*Queue{a, b} {
		require.Eventually(t, func() bool { return len(q.Workers()) == 1 }, long, time.Millisecond)
	}

	// Of one that says nothing any more, nothing is known after a while.
	a.present.mu.Lock()
	a.present.list["w2"].at = time.Now().Add(-presentFor - time.Second)
	a.present.mu.Unlock()
	assert.Empty(t, a.Workers())
	assert.Equal(t, []string{"w2"}, names(b))
}

// TestListingsAreShared keeps one listing twice, and another one.
func TestListingsAreShared(t *testing.T) {
	ctx := context.Background()
	a, url := shared(t, Options{})
	b := open(t, Options{URL: url, Access: Observes})
	none, err := b.Listings(ctx)
	require.NoError(t, err)
	assert.Empty(t, none)
	one, err := a.KeepListing(ctx, []byte("one"))
	require.NoError(t, err)
	again, err := a.KeepListing(ctx, []byte("one"))
	require.NoError(t, err)
	assert.Equal(t, one, again)
	two, err := a.KeepListing(ctx, []byte("two"))
	require.NoError(t, err)
	list, err := b.Listings(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{one, two}, list)
	data, err := b.Listing(ctx, two)
	require.NoError(t, err)
	assert.Equal(t, "two", string(data))
	_, err = b.Listing(ctx, "three")
	assert.ErrorIs(t, err, ErrNotFound)
}

// TestAccess opens what is there with other options: only who owns it changes it, and who observes makes nothing.
func TestAccess(t *testing.T) {
	ctx := context.Background()
	e, err := startEmbedded(Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"}.filled())
	require.NoError(t, err)
	t.Cleanup(e.close)
	url := e.s.ClientURL()
	_, err = Open(ctx, Options{URL: url, Access: Observes})
	require.ErrorContains(t, err, "daguerre serve --nats")
	kept := func(q *Queue) time.Duration {
		s, err := q.js.Stream(ctx, eventStream)
		require.NoError(t, err)
		return s.CachedInfo().Config.MaxAge
	}
	q := open(t, Options{URL: url, Access: Joins, Keep: time.Hour}) // nothing is there yet
	assert.Equal(t, time.Hour, kept(q))
	for _, c := range []struct {
		access Access
		want   time.Duration
	}{{Joins, time.Hour}, {Observes, time.Hour}, {Owns, 2 * time.Hour}, {Joins, 2 * time.Hour}} {
		q := open(t, Options{URL: url, Access: c.access, Keep: 2 * time.Hour})
		assert.Equal(t, c.want, kept(q), c.access)
	}
}

// TestOnlyWhatIsWished has runs for two models, and a worker that can make those of one.
func TestOnlyWhatIsWished(t *testing.T) {
	q := open(t, Options{})
	other := record("a")
	other.Model = "other"
	submit(t, q, other)
	r := submit(t, q, record("a"))
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	c, err := q.Take(ctx, Wish{Worker: "w", Room: anyRoom, Can: func(model string) bool { return model == "m" }})
	require.NoError(t, err)
	assert.Equal(t, r.ID, c.ID)
	finish(t, c, Done)
	assert.Equal(t, other.ID, take(t, q, "w").ID)
}
