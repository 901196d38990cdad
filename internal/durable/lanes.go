package durable

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// laneSet is the lanes that this process knows.
type laneSet struct {
	mu     sync.Mutex
	lanes  map[Lane]*lane
	paths  map[string]*lane // by Lane.path
	served map[string]int64 // pictures that this process has taken of each owner, for fairness
	taken  int64            // runs, by which lanes of one owner have their turns
	woken  chan struct{}
}

// lane is a Lane as a worker looks at it.
type lane struct {
	Lane
	consumer jetstream.Consumer // nil: not looked up yet
	empty    bool               // it was, when it was last looked at
	last     int64              // laneSet.taken when a run of it was taken
}

// credit is how many pictures an owner may be behind the others at most: who has had nothing for a day does not get all for a day.
const credit = 64

// took counts a run that was taken.
func (s *laneSet) took(l *lane, pictures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served == nil {
		s.served = map[string]int64{}
	}
	s.taken++
	l.last = s.taken
	most := int64(0)
	s.served[l.Owner] += int64(max(pictures, 1))
	for _, n := range s.served {
		most = max(most, n)
	}
	for other := range s.lanes {
		s.served[other.Owner] = max(s.served[other.Owner], most-credit)
	}
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
		s.lanes, s.paths = map[Lane]*lane{}, map[string]*lane{}
	}
	if s.lanes[l] == nil {
		s.lanes[l] = &lane{Lane: l}
		s.paths[l.path()] = s.lanes[l]
	}
	s.notify()
}

// filled has a lane looked at again to which a message has come. An unknown one is looked at once it is known.
func (s *laneSet) filled(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.paths[path]; l != nil {
		l.empty = false
		s.notify()
	}
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

// filledModel has all lanes looked at again whose model has a topic.
func (s *laneSet) filledModel(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if l.wake() == topic {
			l.empty = false
		}
	}
}

// asked has the lanes looked at again in which, as is told, pictures wait.
func (s *laneSet) asked(demand map[Demand]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if demand[Demand{l.Owner, l.Model}] > 0 {
			l.empty = false
		}
	}
	s.notify()
}

// all lists the lanes.
func (s *laneSet) all() []Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.lanes))
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

// order lists the lanes that may have something, in the order in which they are to be looked at. Models of a lower rank go first.
func (s *laneSet) order(rank func(model string) int) (list []*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ranks := map[string]int{}
	for l := range maps.Values(s.lanes) {
		if l.empty {
			continue
		}
		list = append(list, l)
		if _, ok := ranks[l.Model]; !ok && rank != nil {
			ranks[l.Model] = rank(l.Model)
		}
	}
	slices.SortFunc(list, func(a, b *lane) int {
		return cmp.Or(b.Priority-a.Priority, ranks[a.Model]-ranks[b.Model], cmp.Compare(s.served[a.Owner], s.served[b.Owner]),
			cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.last, b.last), cmp.Compare(a.Model, b.Model))
	})
	return list
}

// fetch takes the next message of a lane; nil: there is none now.
func (q *Queue) fetch(ctx context.Context, l *lane) (jetstream.Msg, error) {
	if l.consumer == nil {
		c, err := q.work.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: l.Lane.consumer(), FilterSubject: l.subject(">", 0),
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

// poll is how often lanes are looked at although nobody has told of something: messages come back from workers that died. Those that
// hear boards look less often: a board tells of such runs.
const poll = time.Second

func (q *Queue) poll() time.Duration {
	if q.follows() {
		return poll
	}
	return 5 * poll
}

// wakened has a lane looked at to which a message has come.
func (q *Queue) wakened(m *nats.Msg) { q.known.filled(string(m.Data)) }

// waiting is a Take that found nothing. Where the queue follows no runs, it hears of those that come for its models, while it has room.
type waiting struct {
	q    *Queue
	subs map[string]*nats.Subscription // by topic
}

// listen listens for runs that a worker wishes to have. changed: it did not listen for all of them before.
func (w *waiting) listen(wish Wish) (changed bool) {
	if w.q.follows() {
		return false
	}
	wants := map[string]bool{}
	if wish.Room(MaxPriority, "") {
		for _, l := range w.q.known.all() {
			if wish.Can == nil || wish.Can(l.Model) {
				wants[l.wake()] = true
			}
		}
	}
	for topic, sub := range w.subs {
		if !wants[topic] {
			_ = sub.Unsubscribe() // the connection may be gone
			delete(w.subs, topic)
		}
	}
	for topic := range wants {
		if w.subs[topic] != nil {
			continue
		}
		sub, err := w.q.nc.Subscribe(topic, w.q.wakened)
		if err != nil {
			continue // the connection is gone
		}
		if w.subs == nil {
			w.subs = map[string]*nats.Subscription{}
		}
		w.subs[topic], changed = sub, true
		w.q.known.filledModel(topic)
	}
	return changed
}

func (w *waiting) end() {
	for _, sub := range w.subs {
		_ = sub.Unsubscribe() // the connection may be gone
	}
}
