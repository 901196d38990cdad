package durable

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// takeMost takes what comes next, and so many pictures at most.
func takeMost(t *testing.T, q *Queue, worker string, most int) *Claim {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	c, err := q.Take(ctx, Wish{Worker: worker, Room: anyRoom, Most: func(*Record, int) int { return most }})
	require.NoError(t, err)
	return c
}

// large submits a run of so many pictures.
func large(t *testing.T, q *Queue, images int) Record {
	r := record("a")
	r.Images = images
	return submit(t, q, r)
}

// TestPieces divides a run among workers: each picture is in one piece, and the run ends with the last piece.
func TestPieces(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := large(t, q, 20)
	var claims []*Claim
	var sizes []int
	pictures := map[int]int{}
	for n := 0; n < 20; {
		c := takeMost(t, q, "w", 8)
		require.Equal(t, r.ID, c.ID)
		claims, sizes = append(claims, c), append(sizes, c.Size())
		for i := c.Piece.From; i < c.Piece.To; i++ {
			pictures[i]++
		}
		n += c.Size()
	}
	assert.Equal(t, []int{7, 7, 6}, sizes, "about as large as each other")
	assert.Len(t, pictures, 20)
	none(t, q)
	for i, c := range claims {
		got, err := q.Get(ctx, "a", r.ID)
		require.NoError(t, err)
		assert.Equal(t, Running, got.State, "after %d pieces", i)
		assert.Equal(t, 1, got.Attempts)
		finish(t, c, Done)
	}
	got, err := q.Get(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Done, got.State)
	assert.Equal(t, 20, got.Made)
	none(t, q)
	events, err := q.Past(ctx, "a", r.ID, 0)
	require.NoError(t, err)
	require.Len(t, events, 1)
	assert.True(t, events[0].Last())
}

// TestPiecesEnd combines the ends of two pieces to that of the run.
func TestPiecesEnd(t *testing.T) {
	failure := func(code string) *Failure { return &Failure{Code: code} }
	for name, c := range map[string]struct {
		a, b End
		want State
		code string
	}{
		"done":      {End{State: Done, Made: 2}, End{State: Done, Made: 2}, Done, ""},
		"one fails": {End{State: Done, Made: 2}, End{State: Failed, Failed: 2, Error: failure("bad_file")}, Done, ""},
		"all fail":  {End{State: Failed, Failed: 2, Error: failure("x")}, End{State: Failed, Failed: 2, Error: failure("y")}, Failed, "x"},
		"late":      {End{State: Done, Made: 2}, End{State: Failed, Error: failure("deadline")}, Failed, "deadline"},
		"given up":  {End{State: Done, Made: 2}, End{State: Cancelled, Error: failure("cancelled")}, Cancelled, "cancelled"},
	} {
		for _, ends := range [][]End{{c.a, c.b}, {c.b, c.a}} {
			r := Record{Images: 4, Pieces: []Piece{{From: 0, To: 2, End: &ends[0]}, {From: 2, To: 4, End: &ends[1]}}}
			r.settle(time.Now())
			assert.Equal(t, c.want, r.State, name)
			assert.Equal(t, c.a.Made+c.b.Made, r.Made, name)
			assert.Equal(t, c.a.Failed+c.b.Failed, r.Failed, name)
			if c.code == "" {
				assert.Nil(t, r.Error, name)
			} else if assert.NotNil(t, r.Error, name) && name != "all fail" {
				assert.Equal(t, c.code, r.Error.Code, name)
			}
		}
	}
}

// TestPiecesGivenBack gives one of two pieces back, and then both: the run is in work as long as somebody has something of it.
func TestPiecesGivenBack(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := large(t, q, 8)
	a, b := takeMost(t, q, "w1", 4), takeMost(t, q, "w2", 4)
	state := func() State {
		got, err := q.Get(ctx, "a", r.ID)
		require.NoError(t, err)
		return got.State
	}
	require.NoError(t, a.GiveBack(ctx, 0, false))
	assert.Equal(t, Running, state())
	require.NoError(t, b.GiveBack(ctx, 0, false))
	assert.Equal(t, Queued, state())
	again := map[int]bool{}
	for range 2 {
		c := takeMost(t, q, "w3", 4)
		assert.False(t, c.Suspect(), "nobody has died")
		again[c.Piece.From] = true
		finish(t, c, Done)
	}
	assert.Equal(t, map[int]bool{0: true, 4: true}, again)
	assert.Equal(t, Done, state())
	none(t, q)
}

// TestPiecesCancelled gives up a run of which a piece is in work and another one waits.
func TestPiecesCancelled(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := large(t, q, 8)
	c := takeMost(t, q, "w", 4)
	got, err := q.Cancel(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Running, got.State)
	cancel, lost, _ := c.Cancelled()
	assert.True(t, cancel)
	assert.False(t, lost)
	none(t, q)
	require.NoError(t, c.Finish(ctx, End{State: Cancelled, Made: 1}, nil))
	got, err = q.Get(ctx, "a", r.ID)
	require.NoError(t, err)
	assert.Equal(t, Cancelled, got.State)
	assert.Equal(t, 1, got.Made)
	none(t, q)
}

// TestPoisonInPieces has a run kill worker after worker, each with another piece: it is dead after three, whatever the number of pieces.
func TestPoisonInPieces(t *testing.T) {
	q := open(t, Options{AckWait: 100 * time.Millisecond, Attempts: 3})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	r := large(t, q, 40)
	taken := 0
	for {
		looking, stop := context.WithTimeout(ctx, time.Second)
		_, err := q.Take(looking, Wish{Worker: "w", Room: anyRoom, Most: func(*Record, int) int { return 4 }})
		stop()
		if err == nil {
			taken++ // and no more is heard of it
		}
		if got, err := q.Get(ctx, "a", r.ID); err == nil && got.State.Ended() {
			assert.True(t, got.Dead)
			assert.Equal(t, codeDied, got.Error.Code)
			assert.Equal(t, 3, got.Lost)
			break
		}
		require.NoError(t, ctx.Err())
	}
	none(t, q)
	assert.Positive(t, taken)
}

// TestMissingPiece has a piece without a message: its worker died before it was queued.
func TestMissingPiece(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := large(t, q, 8)
	c := takeMost(t, q, "w", 0)
	_, err := q.Update(ctx, "a", r.ID, func(r *Record) error { r.split(0, 4); return nil })
	require.NoError(t, err)
	none(t, q)
	q.repush(ctx)
	q.repush(ctx) // a second copy is none
	rest := takeMost(t, q, "w", 4)
	assert.Equal(t, 4, rest.Piece.From)
	none(t, q)
	finish(t, rest, Done)
	finish(t, c, Done)
}

// TestDeadlineOfTheQueue lets the deadlines pass of a run that waits and of one whose worker hangs.
func TestDeadlineOfTheQueue(t *testing.T) {
	begin := time.Now()
	now := begin
	q := open(t, Options{Now: func() time.Time { return now }})
	ctx := context.Background()
	hangs := record("a")
	hangs.Deadline = begin.Add(time.Hour)
	hangs = submit(t, q, hangs)
	c := takeOf(t, q, hangs.ID)
	waits := record("b")
	waits.Deadline = begin.Add(time.Hour)
	waits = submit(t, q, waits)
	other := submit(t, q, record("c"))
	q.endLate(ctx)
	assert.Len(t, q.index.late(begin.Add(2*time.Hour)), 2)
	for _, r := range []Record{hangs, waits} { // as if the time had come
		_, err := q.Update(ctx, r.Owner, r.ID, func(r *Record) error { r.Deadline = begin.Add(-time.Hour); return nil })
		require.NoError(t, err)
	}
	q.endLate(ctx)
	for _, r := range []Record{hangs, waits} {
		got, err := q.Get(ctx, r.Owner, r.ID)
		require.NoError(t, err)
		assert.Equal(t, Failed, got.State)
		assert.Equal(t, codeDeadline, got.Error.Code)
	}
	_, lost, _ := c.Cancelled()
	assert.True(t, lost)
	assert.ErrorIs(t, c.Finish(ctx, End{State: Done}, nil), ErrLost)
	assert.Equal(t, other.ID, takeOf(t, q, other.ID).ID)
	assert.Empty(t, q.index.late(begin.Add(2*time.Hour)))
}

// TestTooSmall has a worker give back a piece for which it has too little memory: it comes to another one, and to the same one only where
// there is no other.
func TestTooSmall(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := submit(t, q, record("a"))
	others := true
	small := func(ctx context.Context) (*Claim, error) {
		return q.Take(ctx, Wish{Worker: "small", Room: anyRoom, Other: func(*Record, Piece) bool { return others }})
	}
	c, err := small(ctx)
	require.NoError(t, err)
	require.NoError(t, c.GiveBack(ctx, 0, true))
	waiting, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = small(waiting)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c = take(t, q, "large")
	assert.Equal(t, r.ID, c.ID)
	require.NoError(t, c.GiveBack(ctx, 0, true))
	others = false
	c, err = small(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"small", "large"}, c.Piece.Tried)
	finish(t, c, Done)
}

// TestDemand counts the pictures that wait while a run goes through its states.
func TestDemand(t *testing.T) {
	q := open(t, Options{})
	ctx := context.Background()
	r := large(t, q, 8)
	d := Demand{"a", "m"}
	assert.Equal(t, map[Demand]int{d: 8}, q.Demand())
	require.NoError(t, q.Announce(ctx, Presence{Name: "w"}))
	require.Eventually(t, func() bool { return q.present.has("w") }, long, time.Millisecond)
	c := takeMost(t, q, "w", 3)
	require.Eventually(t, func() bool { return q.Demand()[d] == 5 }, long, time.Millisecond)
	require.NoError(t, q.Leave(ctx, "w"))
	require.Eventually(t, func() bool { return q.Demand()[d] == 8 }, long, time.Millisecond, "the worker is gone")
	require.NoError(t, q.Announce(ctx, Presence{Name: "w"}))
	require.Eventually(t, func() bool { return q.Demand()[d] == 5 }, long, time.Millisecond)
	require.NoError(t, c.GiveBack(ctx, 0, false))
	require.Eventually(t, func() bool { return q.Demand()[d] == 8 }, long, time.Millisecond)
	_, err := q.Cancel(ctx, "a", r.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(q.Demand()) == 0 }, long, time.Millisecond)
}

// TestOlderRecord: a message of a piece, or of a turn, that the record does not have yet waits. One that the record has left behind goes.
func TestOlderRecord(t *testing.T) {
	for name, c := range map[string]struct {
		record, sent Record
		want         error
	}{
		"a piece that was split off": {Record{State: Running, Images: 8, Pieces: []Piece{{To: 8, Claim: 1}}}, Record{From: 4}, errEarly},
		"a run that nobody has had":  {Record{State: Queued, Images: 8}, Record{From: 4}, errEarly},
		"a turn that begins":         {Record{State: Failed, Images: 8}, Record{Turn: 1}, errEarly},
		"a turn before":              {Record{State: Queued, Images: 8, Turn: 2}, Record{Turn: 1}, errStale},
		"a run that has ended":       {Record{State: Done, Images: 8}, Record{}, errStale},
	} {
		_, _, err := c.record.take(c.sent, 7, Wish{Worker: "new"}, Options{Attempts: 3, Now: time.Now}, func(string) bool { return true })
		assert.ErrorIs(t, err, c.want, name)
	}
}
