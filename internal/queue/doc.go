// Package queue makes any number of pictures of any number of jobs in as few and as large batches as memory and speed allow.
//
// It knows no pipeline: pictures are Tasks, and a Runner computes some of them together. Tasks whose keys are equal may share
// a batch, whichever jobs they belong to. The Manager chooses how many go together: what the Runner's memory budget allows,
// less after a batch ran out of memory, and among the sizes that fit the one that was measured to be fastest. Results are
// handed over one by one as they are finished, and what was finished is never computed again.
//
//	m := batch.New(batch.Options{}, runner)
//	defer m.Close()
//	job, err := m.Submit(ctx, batch.Spec[Prompt, Picture]{Tasks: tasks, OnResult: save})
//	...
//	err = job.Wait(ctx)
package queue
