package pipeline

import (
	"sync"
	"time"
)

// Picture is one picture of a planned request: what a Batcher's tasks are.
type Picture struct {
	Plan  *Planned
	Index int // 0 .. NumImages-1

	track *track // of the Batcher's job
}

// JobOptions say how a request is computed and reported. Callbacks come from goroutines of the Batcher, one at a time for a job.
type JobOptions struct {
	Name     string
	Owner    string                     // owners share fairly, however many jobs each has
	Priority int                        // higher goes first; jobs of one priority share fairly
	Deadline time.Time                  // zero: none
	Indices  []int                      // of the pictures to make; nil: all
	OnImage  func(Image) error          // given each picture as soon as it is finished; its error fails that picture
	OnError  func(index int, err error) // told of each picture that has failed for good

	// OnProgress is told after every step. Done and Total count steps of pictures: Steps for each. Step is that of the batch which reports,
	// Count and Indices are the job's pictures in it. Done never falls. It is called while the computation waits.
	OnProgress func(Progress)
	// PreviewEvery adds pictures of how those of Indices stand to every so-manieth step's report; 0: never. Jobs
	// share batches with those that ask for the same.
	PreviewEvery int
	PreviewMode  PreviewMode

	// LoRAs changes the job's adapters, from Hold or Submit until the job ends. A change acts on a running batch from its next step on, and on
	// every later batch from its first step, also if a picture is made again. A job with adapters and a handle shares batches with no other
	// job, because a change would reach the other job's pictures. For Batchers on one pipeline.
	LoRAs *LoRAHandle
}

// track follows a Batcher's job through the batches that its pictures are computed in.
type track struct {
	plan  *Planned
	opts  JobOptions
	began time.Time
	held  *heldLoRAs // of opts.LoRAs; nil: the job has no adapters, or no handle

	mu       sync.Mutex  // held while OnProgress runs
	steps    map[int]int // done, by picture
	sum      int         // of steps
	state    Progress    // as it was reported last
	first    time.Time   // of the first step, for the speed
	atFirst  int
	finishes int
}
