package pipeline

import (
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
)

// runJobs are the jobs of a run in the terms of package memory. Each knows of the others: a Batcher puts pictures of several jobs into a
// batch.
type runJobs struct {
	jobs     []memory.Job
	groups   []*group // of each job
	together map[string]*group
	images   int
}

// group is jobs whose pictures can be in one batch. Each has a prompt of its own, or several that its pictures draw.
type group struct{ prompts, images int }

// add adds a job behind the others.
func (r *runJobs) add(prep *prepare.Prepared, job memory.Job) error {
	key, _, err := keyOf(prep, describeScheduler(prep), describeLoRAs(prep), 0)
	if err != nil {
		return err
	}
	g := r.together[key]
	if g == nil {
		g = &group{}
		r.together[key] = g
	}
	g.prompts += job.Prompts
	g.images += job.Images
	job.Earlier = r.images
	r.images += job.Images
	r.jobs, r.groups = append(r.jobs, job), append(r.groups, g)
	return nil
}

// shared returns the jobs, each with what the others add to its batches.
func (r *runJobs) shared() []memory.Job {
	for i, g := range r.groups {
		j := &r.jobs[i]
		j.Shared, j.Prompts, j.Jobs = g.images-j.Images, g.prompts, len(r.jobs)-1
	}
	return r.jobs
}
