package queue

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrCancelled is the error of a task that was cancelled.
	ErrCancelled = errors.New("cancelled")
	// ErrQueueFull is returned by TrySubmit where the queue has no room.
	ErrQueueFull = errors.New("the queue is full")
	// ErrClosed is returned by Submit after Close, and is the error of the tasks that Close gave up.
	ErrClosed = errors.New("the batch manager is closed")
	// ErrRunnerLost as the error of Run ends that Runner: its tasks go back to the queue for the others.
	ErrRunnerLost = errors.New("the runner is lost")
	// ErrNoTasks is returned by Submit for a job without tasks.
	ErrNoTasks = errors.New("the job has no tasks")
)

// TaskError is what went wrong with one task.
type TaskError struct {
	Index    int // in its job
	Attempts int
	Err      error
}

// Error returns "picture 3: ...".
func (e *TaskError) Error() string { return fmt.Sprintf("picture %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *TaskError) Unwrap() error { return e.Err }

// JobError is the error of a job of which some tasks failed. errors.Is and errors.As look into all of them.
type JobError struct {
	Total int // tasks of the job
	Tasks []*TaskError
}

// Error tells the first few.
func (e *JobError) Error() string {
	if len(e.Tasks) == 1 && e.Total == 1 {
		return e.Tasks[0].Err.Error()
	}
	const shown = 3
	var parts []string
	for _, t := range e.Tasks[:min(shown, len(e.Tasks))] {
		parts = append(parts, t.Error())
	}
	if more := len(e.Tasks) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d of %d pictures failed: %s", len(e.Tasks), e.Total, strings.Join(parts, "; "))
}

// Unwrap returns the tasks' errors.
func (e *JobError) Unwrap() []error {
	out := make([]error, len(e.Tasks))
	for i, t := range e.Tasks {
		out[i] = t
	}
	return out
}
