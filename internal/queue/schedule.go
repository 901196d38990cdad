package queue

import (
	"cmp"
	"slices"
	"time"
)

// tail is how many times later than on the fastest worker a batch may end on a slow one. Beyond that it is left to the fastest.
const tail = 1.0

// choose returns the task that a worker begins its next batch with, and all jobs in their order. If there is none, but a task waits
// for its next try, it returns the time of that.
func (m *Manager[T, R]) choose(w *worker[T, R]) (first *item[T, R], order []*Job[T, R], next time.Time) {
	if m.paused || m.waiting == 0 || w.lost {
		return nil, nil, next
	}
	order = m.order()
	now := m.opts.now()
	for _, j := range order {
		for _, it := range j.waiting {
			if now.Before(it.after) {
				if next.IsZero() || it.after.Before(next) {
					next = it.after
				}
				continue
			}
			if m.leaveToFaster(w) {
				return nil, nil, next
			}
			return it, order, next
		}
	}
	return nil, nil, next
}

// order sorts the jobs with waiting tasks: by priority, then by what their owners got so far, then by what they got, then by age. Of
// owners who got the same, those go first who have had nothing since they came: the next batch has something of each owner.
func (m *Manager[T, R]) order() []*Job[T, R] {
	order := slices.DeleteFunc(slices.Clone(m.jobs), func(j *Job[T, R]) bool { return len(j.waiting) == 0 })
	slices.SortStableFunc(order, func(a, b *Job[T, R]) int {
		return cmp.Or(cmp.Compare(b.spec.Priority, a.spec.Priority),
			m.owners[a.spec.Owner].compare(m.owners[b.spec.Owner]), cmp.Compare(a.served, b.served))
	})
	return order
}

// account is what an owner got.
type account struct {
	got    float64 // cost of what was taken from the jobs
	served bool    // something was
}

// compare is negative where a goes before b.
func (a *account) compare(b *account) int {
	served := func(a *account) int {
		if a.served {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.got, b.got), served(a)-served(b))
}

// enter counts a new job to its owner. One who had no job begins with as much as the one who got least: what others got before is past.
func (m *Manager[T, R]) enter(j *Job[T, R]) {
	owner := j.spec.Owner
	if m.owners[owner] != nil {
		return
	}
	least := 0.0
	for i, other := range m.jobs {
		if got := m.owners[other.spec.Owner].got; i == 0 || got < least {
			least = got
		}
	}
	m.owners[owner] = &account{got: least}
}

// leave forgets an owner who has no job any more.
func (m *Manager[T, R]) leave(j *Job[T, R]) {
	if !slices.ContainsFunc(m.jobs, func(other *Job[T, R]) bool { return other.spec.Owner == j.spec.Owner }) {
		delete(m.owners, j.spec.Owner)
	}
}

// take makes a batch of first and of tasks that may go with it: more of its own job, then of the other jobs in their order.
func (m *Manager[T, R]) take(w *worker[T, R], first *item[T, R], order []*Job[T, R]) *Batch[T, R] {
	s := w.sizing(first.task)
	together := []*item[T, R]{first}
	if !first.alone && first.relief == ReliefNone && s.relief == ReliefNone {
		together = m.compatible(first, order, m.opts.now())
	}
	n, why := s.next(m.opts.MaxBatch, m.share(w, len(together)))
	if len(together) == 1 {
		why = "one picture of its kind is waiting"
	}
	if first.alone {
		why = "by itself, since a batch with it failed"
	}
	relief := max(first.relief, s.relief)
	if relief > ReliefNone {
		why = "one at a time with " + relief.String() + ", since memory ran out"
	}
	m.batches++
	b := &Batch[T, R]{m: m, w: w, items: together[:n], relief: relief, number: m.batches, why: why}
	for _, it := range b.items {
		m.dequeue(it)
		it.state, it.batch = running, b
		it.job.counts.Running++
		it.job.served += it.task.cost()
		owner := m.owners[it.job.spec.Owner]
		owner.got += it.task.cost()
		owner.served = true
	}
	return b
}

// dequeue takes a waiting task out of the queue, and tells those who wait for room in it.
func (m *Manager[T, R]) dequeue(it *item[T, R]) {
	it.job.waiting = remove(it.job.waiting, it)
	it.job.counts.Queued--
	m.waiting--
	m.stats.queuedCost -= it.task.cost()
	close(m.room)
	m.room = make(chan struct{})
}

// compatible lists the tasks that may be in one batch with first. first itself comes first.
func (m *Manager[T, R]) compatible(first *item[T, R], order []*Job[T, R], now time.Time) []*item[T, R] {
	out := []*item[T, R]{first}
	add := func(j *Job[T, R]) {
		for _, it := range j.waiting {
			if it != first && it.task.Key == first.task.Key && !it.alone && it.relief == ReliefNone && !now.Before(it.after) {
				out = append(out, it)
			}
		}
	}
	add(first.job)
	for _, j := range order {
		if j != first.job && j.spec.Priority == first.job.spec.Priority || j.spec.Priority < first.job.spec.Priority {
			add(j)
		}
	}
	return out
}

// share is how many of n waiting tasks a worker should take, so that all workers end at about the same time.
func (m *Manager[T, R]) share(w *worker[T, R], n int) int {
	total, mine := 0.0, w.speed
	for _, other := range m.workers {
		if !other.lost {
			if other.speed == 0 || mine == 0 {
				return n // not measured yet
			}
			total += other.speed
		}
	}
	if total <= mine {
		return n
	}
	return max(int(float64(n)*mine/total+0.999), 1)
}

// leaveToFaster reports whether all waiting tasks end sooner if this worker leaves them to a faster one.
func (m *Manager[T, R]) leaveToFaster(w *worker[T, R]) bool {
	if w.speed == 0 {
		return false
	}
	for _, other := range m.workers {
		if other == w || other.lost || other.speed <= w.speed {
			continue
		}
		average := m.stats.queuedCost / float64(m.waiting)
		if other.remaining(m.opts.now())+m.stats.queuedCost/other.speed < tail*average/w.speed {
			return true
		}
	}
	return false
}

func remove[E comparable](list []E, x E) []E {
	if i := slices.Index(list, x); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
