package queue

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEndedTasksLetGoOfTheirBatch looks at the tasks of jobs that share batches, when each has ended: one that still had its batch would
// keep that one's other jobs in memory, and their batches, and so on.
func TestEndedTasksLetGoOfTheirBatch(t *testing.T) {
	r := &tester{name: "r", max: 8, hook: func(ctx context.Context, b *Batch[int, string]) error {
		if b.Task(0).Value == 3 {
			<-ctx.Done() // it is cancelled
		}
		return nil
	}, after: func(_ *Batch[int, string], i int) error {
		if i == 1 {
			return errors.New("spoiled")
		}
		return nil
	}}
	m := start(t, Options{Paused: true}, r)
	var list []*Job[int, string]
	for _, values := range [][]int{{1, 1, 1, 1, 1}, {2, 2}, {3, 3, 3}} {
		var got results
		j, err := m.Submit(context.Background(), got.spec("k", values...))
		require.NoError(t, err)
		list = append(list, j)
	}
	m.Resume()
	go list[2].Cancel()
	for _, j := range list {
		<-j.Done()
		m.mu.Lock()
		for _, it := range j.items {
			assert.Nil(t, it.batch)
		}
		m.mu.Unlock()
	}
}
