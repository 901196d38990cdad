package durable

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOrder takes runs in the order of their priorities, owner by owner.
func TestOrder(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	add := func(owner, model string, priority int) Record {
		r := record(owner)
		r.Model, r.Priority = model, priority
		return submit(t, q, r)
	}
	for range 3 {
		add("many", "m", 0)
	}
	few, urgent, late := add("few", "m", 0), add("many", "m", 5), add("many", "m", -3)
	_, err := q.Prioritize(ctx, "few", late.ID, 7)
	require.ErrorIs(t, err, ErrNotFound)
	moved, err := q.Prioritize(ctx, "many", late.ID, 7)
	require.NoError(t, err)
	assert.Equal(t, 7, moved.Priority)
	var order []string
	for range 6 {
		c := take(t, q, "w")
		order = append(order, c.ID)
		finish(t, c, Done)
	}
	assert.Equal(t, []string{late.ID, urgent.ID}, order[:2])
	assert.Contains(t, order[2:4], few.ID, "an owner with few runs waits for one of the others'")
	none(t, q)
}

// TestLoadedModelGoesFirst prefers the model that is loaded, among the runs of one owner and priority.
func TestLoadedModelGoesFirst(t *testing.T) {
	q := open(t, Options{})
	a, b := record("x"), record("x")
	a.Model, b.Model = "other", "loaded"
	submit(t, q, a)
	b = submit(t, q, b)
	rank := func(model string) int { return strings.Compare(model, "loaded") }
	c, err := q.Take(context.Background(), Wish{Worker: "w", Rank: rank, Room: anyRoom})
	require.NoError(t, err)
	assert.Equal(t, b.ID, c.ID)
}

// TestRoom takes nothing of a priority for which there is no room, but what goes before it.
func TestRoom(t *testing.T) {
	q := open(t, Options{})
	submit(t, q, record("a"))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := q.Take(ctx, Wish{Worker: "w", Room: func(priority int, _ string) bool { return priority > 0 }})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	r := record("a")
	r.Priority = 1
	r = submit(t, q, r)
	c, err := q.Take(context.Background(), Wish{Worker: "w", Room: func(priority int, _ string) bool { return priority > 0 }})
	require.NoError(t, err)
	assert.Equal(t, r.ID, c.ID)
}

// TestFollow hears of a run before, while and after it is in work.
func TestFollow(t *testing.T) {
	q := open(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := submit(t, q, record("a"))
	names, follows := make(chan string, 100), make(chan error, 1)
	go func() {
		follows <- q.Follow(ctx, "a", r.ID, 0, func(e Event) error { names <- e.Name; return nil })
	}()
	c := takeOf(t, q, r.ID)
	require.NoError(t, c.Tell("started", "", struct{}{}))
	assert.Equal(t, "started", <-names)
	require.NoError(t, q.Show("a", r.ID, "progress", struct{}{}))
	assert.Equal(t, "progress", <-names)
	require.NoError(t, c.Tell("image", "image.0/0", struct{}{}))
	require.NoError(t, c.Tell("image", "image.0/0", struct{}{})) // once
	require.NoError(t, c.Told(ctx))
	finish(t, c, Done)
	assert.Equal(t, "image", <-names)
	assert.Equal(t, "done", <-names)
	require.NoError(t, <-follows)
	var all []Event
	require.NoError(t, q.Follow(ctx, "a", r.ID, 0, func(e Event) error { all = append(all, e); return nil }))
	require.Len(t, all, 3)
	var rest []Event
	require.NoError(t, q.Follow(ctx, "a", r.ID, all[1].ID, func(e Event) error { rest = append(rest, e); return nil }))
	assert.Equal(t, all[2:], rest)
	require.NoError(t, q.Follow(ctx, "a", r.ID, all[2].ID, func(Event) error { t.Error("nothing follows"); return nil }))
	assert.ErrorIs(t, q.Follow(ctx, "b", r.ID, 0, func(Event) error { return nil }), ErrNotFound)
}

// TestNames accepts as ids and owners what is safe in subjects, keys and paths, and nothing else.
func TestNames(t *testing.T) {
	assert.True(t, IsID(NewID()))
	assert.True(t, IsID(KeyedID("a", "../x")))
	for _, bad := range []string{"", "r", "../../etc/passwd", NewID() + "x", NewID()[:24] + "*", NewID()[:24] + ".",
		"x" + NewID()[1:], NewID()[:24] + "U"} {
		assert.False(t, IsID(bad), bad)
	}
	for _, bad := range []string{"", ".", "..", "a.b", "a/b", "a b", "a*", ">", "ü", "a\x00"} {
		assert.False(t, IsName(bad), bad)
	}
	assert.True(t, IsName("Team_1-a"))
}
