package durable

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestToldAgain tells events that the queue did not acknowledge, though it has kept one of them: each is there once.
func TestToldAgain(t *testing.T) {
	q := open(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := submit(t, q, record("a"))
	c := takeOf(t, q, r.ID)
	require.NoError(t, c.Tell("started", "", struct{}{}))
	require.NoError(t, c.Tell("image", "image.0/0", struct{}{}))
	<-c.told.list[0].ack.Ok()
	lost := c.told.list[1]
	<-lost.ack.Ok()
	require.NoError(t, q.events.DeleteMsg(ctx, 2)) // as if it had never come
	lost.m.Header.Set("Nats-Msg-Id", NewID())      // the server remembers the one that it had
	c.told.list[0].ack, c.told.list[1].ack = nil, nil
	require.NoError(t, c.Told(ctx))
	assert.Empty(t, c.told.list)
	events, err := q.Past(ctx, "a", r.ID, 0)
	require.NoError(t, err)
	var names []string
	for _, e := range events {
		names = append(names, e.Name)
	}
	assert.Equal(t, []string{"started", "image"}, names)
}

// TestToldLater keeps what could not be told for the next try.
func TestToldLater(t *testing.T) {
	q := open(t, Options{})
	r := submit(t, q, record("a"))
	c := takeOf(t, q, r.ID)
	require.NoError(t, c.Tell("started", "", struct{}{}))
	<-c.told.list[0].ack.Ok()
	c.told.list[0].ack = nil
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, c.Told(ended), context.Canceled)
	assert.Len(t, c.told.list, 1)
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	require.NoError(t, c.Told(ctx))
	assert.Empty(t, c.told.list)
}

// TestFinishTwice ends a piece whose first try was kept, but not answered.
func TestFinishTwice(t *testing.T) {
	q := open(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := submit(t, q, record("a"))
	c := takeOf(t, q, r.ID)
	_, err := c.own(ctx, func(_ *Record, p *Piece) { p.End = &End{State: Done, Made: 1} })
	require.NoError(t, err)
	require.NoError(t, c.Finish(ctx, End{State: Done, Made: 1}, nil))
	none(t, q)
	other := &Claim{Record: c.Record, Piece: c.Piece, q: q, msg: c.msg, let: c.let}
	other.Piece.Claim++
	assert.ErrorIs(t, other.Finish(ctx, End{State: Done, Made: 1}, nil), ErrLost)
}

// TestTakeBack takes a piece that another worker has had: the run counts a death only if that worker is gone.
func TestTakeBack(t *testing.T) {
	for name, c := range map[string]struct {
		present  bool
		lost     int
		wantLost int
		wantDead bool
	}{
		"the worker is gone":           {false, 0, 1, false},
		"the worker is there":          {true, 0, 0, false},
		"the last of three dies of it": {false, 2, 3, true},
		"the third one is there":       {true, 2, 2, false},
	} {
		r := Record{ID: NewID(), State: Running, Images: 2, Lost: c.lost, Claims: 1,
			Pieces: []Piece{{To: 2, Claim: 1, Sequence: 7, Worker: "old"}}, Run: json.RawMessage(`{}`)}
		o := Options{}.filled()
		taken, rest, err := r.take(Record{}, 7, Wish{Worker: "new"}, o, func(worker string) bool { return worker == "old" && c.present })
		require.NoError(t, err, name)
		assert.Nil(t, rest, name)
		assert.Equal(t, c.wantLost, r.Lost, name)
		assert.Equal(t, c.wantDead, r.Dead, name)
		if !c.wantDead {
			assert.Equal(t, "new", taken.Worker, name)
			assert.Equal(t, 2, taken.Claim, name)
		}
	}
}

// TestPresent hears of a worker, and of its end.
func TestPresent(t *testing.T) {
	q := open(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	const name = "vm 1.x"
	assert.False(t, q.present.has(name))
	require.NoError(t, q.Announce(ctx, Presence{Name: name}))
	require.Eventually(t, func() bool { return q.present.has(name) }, long, time.Millisecond)
	q.present.mu.Lock()
	q.present.list[workerKey(name)].at = time.Now().Add(-2 * presentFor)
	q.present.mu.Unlock()
	assert.False(t, q.present.has(name), "nothing was heard of it for long")
	require.NoError(t, q.Announce(ctx, Presence{Name: name}))
	require.Eventually(t, func() bool { return q.present.has(name) }, long, time.Millisecond)
	require.NoError(t, q.Leave(ctx, name))
	require.Eventually(t, func() bool { return !q.present.has(name) }, long, time.Millisecond)
}
