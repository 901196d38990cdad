package durable

import "maps"

// Demand tells whose pictures wait for which model.
type Demand struct{ Owner, Model string }

// Demand counts the pictures that wait, those among them that a worker has which is gone. Who calls it must not change the map.
func (q *Queue) Demand() map[Demand]int {
	if !q.follows() {
		return q.board.now().demand
	}
	q.index.mu.Lock()
	defer q.index.mu.Unlock()
	all := maps.Clone(q.index.demand)
	here := map[string]bool{}
	for _, e := range q.index.working {
		for i := range e.Pieces {
			p := &e.Pieces[i]
			if !p.held() {
				continue
			}
			if _, ok := here[p.Worker]; !ok {
				here[p.Worker] = q.present.has(p.Worker)
			}
			if !here[p.Worker] {
				all[Demand{e.Owner, e.Model}] += p.To - p.From
			}
		}
	}
	return all
}

// Waiting counts the runs that wait.
func (q *Queue) Waiting() (n int) {
	if !q.follows() {
		return q.board.now().waiting
	}
	q.index.mu.Lock()
	defer q.index.mu.Unlock()
	for _, of := range q.index.waiting {
		n += len(of.list)
	}
	return n
}

// want adds a run's waiting pictures to the demand, sign times. The mutex is held.
func (x *index) want(e *entry, sign int) {
	n := e.waits()
	if n == 0 {
		return
	}
	d := Demand{e.Owner, e.Model}
	if x.demand[d] += sign * n; x.demand[d] == 0 {
		delete(x.demand, d)
	}
}

// waits is how many pictures of a run nobody has in work.
func (r *Record) waits() (n int) {
	if r.State.Ended() {
		return 0
	}
	if len(r.Pieces) == 0 {
		return r.Images
	}
	for _, p := range r.Pieces {
		if p.End == nil && !p.held() {
			n += p.To - p.From
		}
	}
	return n
}
