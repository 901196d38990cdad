package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// long is far more than anything here takes.
const long = time.Minute

func open(t *testing.T, o Options) *Queue {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	q, err := Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(q.Close)
	return q
}

func record(owner string) Record {
	return Record{ID: NewID(), Owner: owner, Model: "m", Images: 1, Run: json.RawMessage(`{"prompt":"x"}`)}
}

func submit(t *testing.T, q *Queue, r Record) Record {
	kept, fresh, err := q.Submit(context.Background(), r, false)
	require.NoError(t, err)
	require.True(t, fresh)
	return kept
}

func anyRoom(int, string) bool { return true }

func take(t *testing.T, q *Queue, worker string) *Claim {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	c, err := q.Take(ctx, Wish{Worker: worker, Room: anyRoom})
	require.NoError(t, err)
	return c
}

func takeOf(t *testing.T, q *Queue, id string) *Claim {
	c := take(t, q, "w")
	require.Equal(t, id, c.ID)
	return c
}

// none checks that there is nothing to take.
func none(t *testing.T, q *Queue) {
	q.known.wake()
	for _, l := range q.known.order(nil) {
		m, err := q.fetch(context.Background(), l)
		require.NoError(t, err)
		assert.Nil(t, m)
	}
}

func finish(t *testing.T, c *Claim, s State) {
	require.NoError(t, c.Finish(context.Background(), End{State: s, Made: c.Size()}, nil))
}

// TestTransitions walks through the table of states: what it does not allow is refused, and changes nothing.
func TestTransitions(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	ended := func(s State) func() Record {
		return func() Record {
			submit(t, q, record("a"))
			c := take(t, q, "w")
			finish(t, c, s)
			return c.Record
		}
	}
	reach := map[State]func() Record{
		Queued:  func() Record { return submit(t, q, record("a")) },
		Running: func() Record { submit(t, q, record("a")); return take(t, q, "w").Record },
		Done:    ended(Done), Failed: ended(Failed), Cancelled: ended(Cancelled),
	}
	for from, begin := range reach {
		for _, to := range States {
			t.Run(fmt.Sprint(from, " to ", to), func(t *testing.T) {
				r := begin()
				_, err := q.Update(ctx, r.Owner, r.ID, func(r *Record) error { r.State = to; return nil })
				got, e := q.Get(ctx, r.Owner, r.ID)
				require.NoError(t, e)
				if from.may(to) {
					assert.NoError(t, err)
					assert.Equal(t, to, got.State)
				} else {
					assert.ErrorIs(t, err, ErrState)
					assert.Equal(t, from, got.State)
				}
				require.NoError(t, q.work.Purge(ctx)) // what is left would be taken by the next one
			})
		}
	}
}

// TestSurvives closes a queue with runs in every state, and opens it again.
func TestSurvives(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	q, err := Open(ctx, Options{Dir: dir, AckWait: time.Second})
	require.NoError(t, err)
	done := submit(t, q, record("a"))
	c := takeOf(t, q, done.ID)
	require.NoError(t, c.Tell("image", "image.0/0", map[string]int{"index": 0}))
	require.NoError(t, c.Told(ctx))
	finish(t, c, Done)
	cut := submit(t, q, record("a"))
	takeOf(t, q, cut.ID)
	waits := submit(t, q, record("b"))
	q.Close() // the worker never tells how it went

	q = open(t, Options{Dir: dir, AckWait: time.Second})
	states := map[string]State{}
	q.Each(func(r *Record) { states[r.ID] = r.State })
	assert.Equal(t, map[string]State{done.ID: Done, cut.ID: Running, waits.ID: Queued}, states)
	seen := map[string]*Claim{}
	for len(seen) < 2 {
		c := take(t, q, "w2")
		seen[c.ID] = c
		finish(t, c, Done)
	}
	require.NotNil(t, seen[cut.ID])
	require.NotNil(t, seen[waits.ID])
	assert.True(t, seen[cut.ID].Suspect())
	assert.False(t, seen[waits.ID].Suspect())
	none(t, q)
	events, err := q.Past(ctx, "a", done.ID, 0)
	require.NoError(t, err)
	require.Len(t, events, 2)
	assert.Equal(t, "image", events[0].Name)
	assert.True(t, events[1].Last())
}

// TestOneServerForAFolder opens a folder twice: the second one is refused until the first one has ended.
func TestOneServerForAFolder(t *testing.T) {
	dir := t.TempDir()
	q := open(t, Options{Dir: dir})
	_, err := Open(context.Background(), Options{Dir: dir})
	require.ErrorContains(t, err, "used by another server")
	q.Close()
	open(t, Options{Dir: dir})
}

// TestOneOfTwoWorkers has a run taken by a second worker while the first one is silent: the first one's end counts no more.
func TestOneOfTwoWorkers(t *testing.T) {
	q := open(t, Options{AckWait: 300 * time.Millisecond})
	r := submit(t, q, record("a"))
	first := take(t, q, "w1")
	second := take(t, q, "w2")
	require.Equal(t, r.ID, second.ID)
	_, lost, _ := first.Cancelled()
	assert.True(t, lost)
	assert.ErrorIs(t, first.Finish(context.Background(), End{State: Failed}, nil), ErrLost)
	assert.ErrorIs(t, first.GiveBack(context.Background(), 0, false), ErrLost)
	finish(t, second, Done)
	got, err := q.Wait(context.Background(), "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Done, got.State)
}

// TestDeadAfterAttempts lets worker after worker die of a run. It ends among the dead, can be seen in their stream, and can be tried again.
func TestDeadAfterAttempts(t *testing.T) {
	q := open(t, Options{AckWait: 100 * time.Millisecond, Attempts: 3})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := submit(t, q, record("a"))
	for i := range 3 {
		c := takeOf(t, q, r.ID) // and no more is heard of it
		assert.Equal(t, i > 0, c.Suspect())
	}
	looking, stop := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		_, err := q.Take(looking, Wish{Worker: "w", Room: anyRoom})
		assert.ErrorIs(t, err, context.Canceled)
	}()
	got, err := q.Wait(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Failed, got.State)
	assert.True(t, got.Dead)
	assert.Equal(t, "worker_died", got.Error.Code)
	require.Len(t, q.Dead(), 1)
	require.Eventually(t, func() bool {
		m, err := q.dead.GetLastMsgForSubject(ctx, deadSubject("a", r.ID))
		return err == nil && len(m.Data) > 0
	}, long, time.Millisecond)
	stop()
	<-looked

	_, err = q.Resubmit(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Empty(t, q.Dead())
	c := takeOf(t, q, r.ID)
	assert.Equal(t, 1, c.Attempts)
	assert.False(t, c.Suspect())
	finish(t, c, Done)
}

// TestGivenUpByJetStream hands a message out more often than JetStream does: the run is among the dead, though no worker could say so.
func TestGivenUpByJetStream(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := submit(t, q, record("a"))
	wait, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	for handed := 0; handed < deliveries; {
		require.NoError(t, wait.Err())
		for _, l := range q.known.order(nil) {
			m, err := q.fetch(ctx, l)
			require.NoError(t, err)
			if m != nil {
				handed++
				require.NoError(t, m.Nak())
			}
		}
	}
	go func() { // JetStream sees that it may not hand it out again where somebody asks
		for wait.Err() == nil {
			_, _ = q.Take(wait, Wish{Worker: "w", Room: anyRoom})
		}
	}()
	got, err := q.Wait(wait, "a", r.ID)
	require.NoError(t, err)
	assert.True(t, got.Dead)
}

// TestKeys submits under one key again: at once, after the end, and something else.
func TestKeys(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := record("a")
	r.ID, r.Digest = KeyedID("a", "k"), "1"
	first, fresh, err := q.Submit(ctx, r, true)
	require.NoError(t, err)
	assert.True(t, fresh)
	again, fresh, err := q.Submit(ctx, r, true)
	require.NoError(t, err)
	assert.False(t, fresh)
	assert.Equal(t, first.Created, again.Created)
	finish(t, takeOf(t, q, r.ID), Done)
	again, fresh, err = q.Submit(ctx, r, true)
	require.NoError(t, err)
	assert.False(t, fresh)
	assert.Equal(t, Done, again.State)
	r.Digest = "2"
	_, _, err = q.Submit(ctx, r, true)
	assert.ErrorIs(t, err, ErrOther)
	require.NoError(t, q.Remove(ctx, "a", r.ID))
	_, fresh, err = q.Submit(ctx, r, true)
	require.NoError(t, err)
	assert.True(t, fresh)
	finish(t, takeOf(t, q, r.ID), Done)
	none(t, q)
	assert.NotEqual(t, KeyedID("a", "k"), KeyedID("b", "k"))
}

// TestCancel gives up a run that waits, and one in work.
func TestCancel(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := submit(t, q, record("a"))
	got, err := q.Cancel(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Cancelled, got.State)
	none(t, q)
	r = submit(t, q, record("a"))
	c := takeOf(t, q, r.ID)
	_, err = q.Cancel(ctx, "a", r.ID)
	require.NoError(t, err)
	cancel, lost, _ := c.Cancelled()
	assert.True(t, cancel)
	assert.False(t, lost)
	finish(t, c, Cancelled)
	_, err = q.Cancel(ctx, "a", r.ID)
	assert.ErrorIs(t, err, ErrState)
	_, err = q.Cancel(ctx, "b", r.ID)
	assert.ErrorIs(t, err, ErrNotFound)
}

// TestKeptForAShortTime opens a queue that keeps what has ended for less than NATS remembers messages.
func TestKeptForAShortTime(t *testing.T) {
	q := open(t, Options{Keep: time.Second})
	r, fresh, err := q.Submit(context.Background(), record("a"), false)
	require.NoError(t, err)
	assert.True(t, fresh)
	_, err = q.Get(context.Background(), "a", r.ID)
	require.NoError(t, err)
}
