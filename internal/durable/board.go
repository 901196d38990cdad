package durable

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A board tells workers what waits and who is there, added up: following all of it themselves would be as many messages as there are
// workers, for each run and each worker. Each process that follows runs may tell it; who hears that another one has told it keeps quiet.
// Where none is told for boardLate, workers look themselves.
const (
	boardEvery = time.Second
	boardLate  = 5 * boardEvery
)

// board is what is told.
type board struct {
	Demand  []boardDemand `json:"demand"`
	Waiting int           `json:"waiting"` // runs
	Models  []boardModel  `json:"models"`  // the rest refers to them by their places
	Sets    [][]int       `json:"sets"`    // of models that workers have
	Workers []boardWorker `json:"workers"`
}

type boardDemand struct {
	Owner  string `json:"o"`
	Model  string `json:"m"`
	Images int    `json:"n"`
}

type boardModel struct {
	Name    string  `json:"n"`
	Opening float64 `json:"l,omitempty"` // seconds, at most
	Speed   float64 `json:"v,omitempty"` // pictures a second of a worker, in the middle
}

type boardWorker struct {
	Name     string `json:"n"`
	Set      int    `json:"s"`
	Aim      int    `json:"a"` // -1: none
	Images   int    `json:"i,omitempty"`
	Draining bool   `json:"d,omitempty"`
}

// knownBoard is a board as it is used.
type knownBoard struct {
	demand  map[Demand]int
	waiting int
	workers []Presence
}

// boards are those that this process has heard.
type boards struct {
	mu   sync.Mutex
	last knownBoard
	at   time.Time // of it
}

func (b *boards) now() knownBoard {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

func (b *boards) age() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.at)
}

func (b *boards) set(k knownBoard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.at = k, time.Now()
}

// makeBoard adds up what this process knows.
func makeBoard(demand map[Demand]int, waiting int, workers []Presence) board {
	b := board{Waiting: waiting, Demand: []boardDemand{}, Models: []boardModel{}, Sets: [][]int{}, Workers: []boardWorker{}}
	for d, n := range demand {
		b.Demand = append(b.Demand, boardDemand{d.Owner, d.Model, n})
	}
	place := func(model string) int {
		i := slices.IndexFunc(b.Models, func(m boardModel) bool { return m.Name == model })
		if i < 0 {
			i = len(b.Models)
			b.Models = append(b.Models, boardModel{Name: model})
		}
		return i
	}
	measured := map[int]float64{}
	for _, p := range workers {
		w := boardWorker{Name: p.Name, Aim: -1, Images: p.Images, Draining: p.Draining}
		set := make([]int, len(p.Models))
		for i, m := range p.Models {
			set[i] = place(m)
		}
		for m, seconds := range p.Opening {
			at := &b.Models[place(m)]
			at.Opening = max(at.Opening, seconds)
		}
		for m, speed := range p.Speed {
			i := place(m)
			b.Models[i].Speed += speed
			measured[i]++
		}
		if p.Aim != "" {
			w.Aim = place(p.Aim)
		}
		if w.Set = slices.IndexFunc(b.Sets, func(s []int) bool { return slices.Equal(s, set) }); w.Set < 0 {
			w.Set = len(b.Sets)
			b.Sets = append(b.Sets, set)
		}
		b.Workers = append(b.Workers, w)
	}
	for i, n := range measured {
		b.Models[i].Speed /= n
	}
	return b
}

// read is the board as it is used; false: it makes no sense.
func (b board) read() (k knownBoard, ok bool) {
	k = knownBoard{demand: map[Demand]int{}, waiting: b.Waiting}
	for _, d := range b.Demand {
		k.demand[Demand{d.Owner, d.Model}] = d.Images
	}
	opening, speed := map[string]float64{}, map[string]float64{}
	for _, m := range b.Models {
		if m.Opening > 0 {
			opening[m.Name] = m.Opening
		}
		if m.Speed > 0 {
			speed[m.Name] = m.Speed
		}
	}
	sets := make([][]string, len(b.Sets))
	for i, set := range b.Sets {
		for _, m := range set {
			if m < 0 || m >= len(b.Models) {
				return k, false
			}
			sets[i] = append(sets[i], b.Models[m].Name)
		}
	}
	for _, w := range b.Workers {
		if w.Set < 0 || w.Set >= len(sets) || w.Aim >= len(b.Models) {
			return k, false
		}
		p := Presence{Name: w.Name, Models: sets[w.Set], Images: w.Images, Draining: w.Draining, Opening: opening, Speed: speed}
		if w.Aim >= 0 {
			p.Aim = b.Models[w.Aim].Name
		}
		k.workers = append(k.workers, p)
	}
	return k, true
}

// tellBoards tells boards until ctx ends, unless another process does.
func (q *Queue) tellBoards(ctx context.Context) {
	sub, err := q.nc.Subscribe(boardTopic, func(*nats.Msg) { q.board.set(knownBoard{}) })
	if err != nil {
		return // the connection is gone
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		pause := boardEvery - q.board.age() + time.Duration(rand.Int64N(int64(boardEvery/10)))
		select {
		case <-time.After(max(pause, boardEvery/10)):
		case <-ctx.Done():
			return
		}
		workers := q.Workers()
		if len(workers) == 0 || q.board.age() < boardEvery {
			continue
		}
		data, err := json.Marshal(makeBoard(q.Demand(), q.Waiting(), workers))
		if err == nil {
			_ = q.nc.Publish(boardTopic, data) // the next one is sent soon
		}
	}
}

// join is follow for a queue that knows the runs only which it has.
func (q *Queue) join(ctx, background context.Context, lanes jetstream.KeyWatcher) error {
	known := make(chan struct{}, 1)
	q.ended.Go(func() { q.watchLanes(lanes, known) })
	if _, err := q.nc.Subscribe(boardTopic, func(m *nats.Msg) {
		var b board
		if json.Unmarshal(m.Data, &b) != nil {
			return
		}
		if k, ok := b.read(); ok {
			q.hang(k)
		}
	}); err != nil {
		return err
	}
	q.ended.Go(func() { q.watchBoard(background) })
	return heard(ctx, known)
}

// hang takes in a new board.
func (q *Queue) hang(k knownBoard) {
	q.board.set(k)
	q.known.asked(k.demand)
}

// watchBoard looks for itself what waits and who is there where nobody tells it, until ctx ends.
func (q *Queue) watchBoard(ctx context.Context) {
	tick := time.NewTicker(boardLate)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if q.board.age() < boardLate {
			continue
		}
		if k, err := q.ownBoard(ctx); err == nil {
			q.hang(k)
		}
	}
}

// ownBoard asks the queue what waits and who is there. What waits is counted in messages: there are no fewer pictures.
func (q *Queue) ownBoard(ctx context.Context) (k knownBoard, err error) {
	ctx, cancel := context.WithTimeout(ctx, boardLate)
	defer cancel()
	k.demand = map[Demand]int{}
	for _, l := range q.known.all() {
		n := 0
		if c, err := q.work.Consumer(ctx, l.consumer()); err == nil {
			n = int(c.CachedInfo().NumPending)
		} else if _, err := q.work.GetLastMsgForSubject(ctx, l.subject(">", 0)); err == nil {
			n = 1 // nobody has looked into the lane yet
		}
		if n > 0 {
			k.demand[Demand{l.Owner, l.Model}] += n
			k.waiting += n
		}
	}
	watch, err := q.workers.WatchAll(ctx)
	if err != nil {
		return k, err
	}
	defer func() { _ = watch.Stop() }() // the connection may be gone
	for e := range watch.Updates() {
		if e == nil {
			return k, nil
		}
		var p Presence
		if e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &p) == nil {
			k.workers = append(k.workers, p)
		}
	}
	return k, ctx.Err()
}
