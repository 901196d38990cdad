package durable

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// laneSet is the lanes that this process knows.
type laneSet struct {
	mu     sync.Mutex
	lanes  map[Lane]*lane
	served int64 // runs taken so far
	woken  chan struct{}
}

// lane is a Lane as a worker looks at it.
type lane struct {
	Lane
	consumer jetstream.Consumer // nil: not looked up yet
	empty    bool               // it was, when it was last looked at
	last     int64              // laneSet.served when a run of it was taken
}

func (s *laneSet) has(l Lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[l] != nil
}

func (s *laneSet) add(l Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == nil {
		s.lanes = map[Lane]*lane{}
	}
	if s.lanes[l] == nil {
		s.lanes[l] = &lane{Lane: l}
	}
	s.notify()
}

// wake has all lanes looked at again.
func (s *laneSet) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		l.empty = false
	}
	s.notify()
}

// notify tells those who wait. The mutex is held.
func (s *laneSet) notify() {
	if s.woken != nil {
		close(s.woken)
		s.woken = nil
	}
}

// waiting is closed at the next wake.
func (s *laneSet) waiting() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.woken == nil {
		s.woken = make(chan struct{})
	}
	return s.woken
}

// order lists the lanes that may have something, in the order in which they are to be looked at.
func (s *laneSet) order(loaded string) (list []*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := map[string]int64{}
	for l := range maps.Values(s.lanes) {
		owners[l.Owner] = max(owners[l.Owner], l.last)
		if !l.empty {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *lane) int { return before(a, b, owners, loaded) })
	return list
}

// before compares two lanes: a higher priority goes first, then the owner who was served longest ago, then the model that is loaded.
func before(a, b *lane, owners map[string]int64, loaded string) int {
	switch {
	case a.Priority != b.Priority:
		return b.Priority - a.Priority
	case owners[a.Owner] != owners[b.Owner]:
		return int(owners[a.Owner] - owners[b.Owner])
	case a.Owner != b.Owner:
		return compare(a.Owner, b.Owner)
	case (a.Model == loaded) != (b.Model == loaded):
		if a.Model == loaded {
			return -1
		}
		return 1
	case a.last != b.last:
		return int(a.last - b.last)
	}
	return compare(a.Model, b.Model)
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// fetch takes the next message of a lane; nil: there is none now.
func (q *Queue) fetch(ctx context.Context, l *lane) (jetstream.Msg, error) {
	if l.consumer == nil {
		c, err := q.work.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: l.Lane.consumer(), FilterSubject: l.subject("*"),
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.o.AckWait, MaxDeliver: deliveries, MaxAckPending: -1, Replicas: q.o.Replicas})
		if err != nil {
			return nil, err
		}
		l.consumer = c
	}
	batch, err := l.consumer.FetchNoWait(1)
	if err != nil {
		l.consumer = nil
		return nil, err
	}
	for m := range batch.Messages() {
		return m, nil
	}
	if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
		l.consumer = nil
		return nil, err
	}
	return nil, nil
}

// poll is how often lanes are looked at although nobody has told of something: messages come back from workers that died.
const poll = time.Second
