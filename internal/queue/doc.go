// Package queue makes the pictures of many jobs in batches, as few and as large as memory and speed allow.
//
// It knows no pipeline: a picture is a Task, and a Runner computes several together. Tasks with equal keys can share a batch, also
// if they are of different jobs. The Manager chooses the size of each batch. The Runner's memory budget limits it; after a batch
// ran out of memory it is smaller; among the sizes that fit, the one that was measured to be fastest is used. Each result is
// handed over as soon as it is finished, and is never computed again.
//
//	m := queue.New(queue.Options{}, runner)
//	defer m.Close()
//	job, err := m.Submit(ctx, queue.Spec[Prompt, Picture]{Tasks: tasks, OnResult: save})
//	...
//	err = job.Wait(ctx)
package queue
