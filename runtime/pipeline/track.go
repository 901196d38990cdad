package pipeline

import (
	"image"
	"time"
)

func newTrack(plan *Planned, o JobOptions, pictures int) *track {
	t := &track{plan: plan, opts: o, began: time.Now(), steps: map[int]int{}}
	t.state = Progress{Images: pictures, Steps: plan.prep.AllSteps(), Total: plan.prep.AllSteps() * pictures}
	return t
}

// finished counts a picture that was handed over.
func (t *track) finished(index int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finishes++
	t.advance(index, t.plan.prep.AllSteps())
	t.state.Finished, t.state.Done = t.finishes, t.sum
	if t.finishes == t.state.Images && t.opts.OnProgress != nil {
		t.state.Stage, t.state.Elapsed, t.state.ETA, t.state.Previews, t.state.StepTime = StageDone, time.Since(t.began), 0, nil, 0
		t.opts.OnProgress(t.state)
	}
}

// advance books steps of one picture. Steps that a picture has to repeat were counted the first time.
func (t *track) advance(index, step int) {
	if more := step - t.steps[index]; more > 0 {
		t.steps[index] = step
		t.sum += more
	}
}

// tell reports a batch's progress to the job; own are the places of its pictures in the batch.
func (t *track) tell(p Progress, batch int, pictures []Picture, own []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Stage == StageDone { // of the batch; finished tells of the job
		return
	}
	s := &t.state
	s.Stage, s.Step, s.Batch, s.Count, s.Together, s.StepTime, s.Elapsed = p.Stage, p.Step, batch, len(own), len(pictures), p.StepTime,
		time.Since(t.began)
	s.StepsPerSec, s.EvalsPerSec = p.StepsPerSec, p.EvalsPerSec
	s.Indices, s.Seeds, s.Previews = make([]int, len(own)), make([]int64, len(own)), nil
	if len(p.Previews) == len(pictures) {
		s.Previews = make([]image.Image, len(own))
	}
	for k, i := range own {
		s.Indices[k], s.Seeds[k] = pictures[i].Index, p.Seeds[i]
		if s.Previews != nil {
			s.Previews[k] = p.Previews[i]
		}
		if p.Stage == StageDenoise {
			t.advance(pictures[i].Index, p.Step)
		}
	}
	s.First = s.Indices[0]
	if s.Done = t.sum; t.first.IsZero() && t.sum > 0 {
		t.first, t.atFirst = time.Now(), t.sum
	}
	if made := t.sum - t.atFirst; made > 0 {
		s.ETA = time.Duration(float64(time.Since(t.first)) / float64(made) * float64(s.Total-t.sum))
	}
	t.opts.OnProgress(*s)
}

// batchReport sends a batch's progress to the jobs whose pictures are in it.
type batchReport struct {
	batch    int
	pictures []Picture
	places   map[*track][]int
	order    []*track
}

func (r *batchReport) tell(p Progress) {
	if r.places == nil {
		r.places = map[*track][]int{}
		for i, pic := range r.pictures {
			if t := pic.track; t != nil && t.opts.OnProgress != nil {
				if r.places[t] == nil {
					r.order = append(r.order, t)
				}
				r.places[t] = append(r.places[t], i)
			}
		}
	}
	for _, t := range r.order {
		t.tell(p, r.batch, r.pictures, r.places[t])
	}
}
