package studio

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
)

// TestTogether tells the progress of a run of two jobs, with 4 and 20 pictures of 10 steps each, that three workers make.
func TestTogether(t *testing.T) {
	all := &together{images: []int{4, 20}, last: map[part]dispatch.Progress{}}
	ended := &durable.End{State: durable.Done}
	pieces := []durable.Piece{{From: 0, To: 8, Claim: 1}, {From: 8, To: 16, Claim: 2}, {From: 16, To: 24}}
	for _, c := range []struct {
		name string
		told dispatch.Progress
		want dispatch.Progress
	}{
		{"the first job is of one worker", dispatch.Progress{Job: 0, Images: 4, Total: 40, Done: 10, ETASeconds: 3, Step: 3},
			dispatch.Progress{Job: 0, Images: 4, Total: 40, Done: 10, ETASeconds: 3, Step: 3}},
		{"of the second job, one worker has told", dispatch.Progress{Job: 1, Piece: 8, Images: 8, Total: 80, Done: 20, ETASeconds: 6, Step: 2},
			dispatch.Progress{Job: 1, Piece: 8, Images: 20, Total: 200, Done: 20, ETASeconds: 18, Step: 2}},
		{"two have", dispatch.Progress{Job: 1, Images: 4, Total: 40, Done: 10, Finished: 1, ETASeconds: 3},
			dispatch.Progress{Job: 1, Images: 20, Total: 200, Done: 30, Finished: 1, ETASeconds: 8.5}},
		{"the first one again", dispatch.Progress{Job: 1, Piece: 8, Images: 8, Total: 80, Done: 80, Finished: 7},
			dispatch.Progress{Job: 1, Piece: 8, Images: 20, Total: 200, Done: 90, Finished: 8, ETASeconds: 11}},
		{"half of a part was there already", dispatch.Progress{Job: 1, Piece: 16, Images: 4, Total: 40},
			dispatch.Progress{Job: 1, Piece: 16, Images: 20, Total: 200, Done: 130, Finished: 12, ETASeconds: 7}},
	} {
		assert.Equal(t, c.want, all.add(c.told, pieces), c.name)
	}
	pieces[0].End, pieces[1].End = ended, ended
	got := all.add(dispatch.Progress{Job: 1, Piece: 16, Images: 8, Total: 80, Done: 40, Finished: 2}, pieces)
	assert.Equal(t, dispatch.Progress{Job: 1, Piece: 16, Images: 20, Total: 200, Done: 160, Finished: 14}, got, "two parts have ended")
}
