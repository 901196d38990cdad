package pipeline

import "github.com/daguerre-go/daguerre/internal/queue"

// What a Batcher's options, jobs and events are made of.
type (
	// Retry says how often a picture is tried again that failed.
	Retry = queue.Retry
	// BatchEvent is something that a Batcher did. Its Kind is "batch_started", "batch_ended", "task_done", "task_failed", "requeued" or
	// "worker_lost".
	BatchEvent = queue.Event
	// BatchBudget is how many pictures fit into a batch, and why.
	BatchBudget = queue.Budget
	// MemoryUsage is what is in use, and how much may be.
	MemoryUsage = queue.Usage
)

// ErrQueueFull is returned by TrySubmit where there is no room in a Batcher's queue.
var ErrQueueFull = queue.ErrQueueFull

// ErrCancelled is matched by the error of a picture that its BatchJob was told to give up.
var ErrCancelled = queue.ErrCancelled
