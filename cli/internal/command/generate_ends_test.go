package command

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestGenerateCancelled(t *testing.T) {
	for _, op := range []fake.Op{fake.OpOpen, fake.OpEncodeText, fake.OpUNet, fake.OpDecodeLatents} {
		t.Run(string(op), func(t *testing.T) {
			b := newBench(t)
			ctx, cancel := context.WithCancel(t.Context())
			b.ctx = ctx
			b.backend.Hook = func(ctx context.Context, c fake.Call) error {
				if c.Op == op {
					cancel()
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			assert.Equal(t, ExitCancelled, b.run(small("-o", b.path("a.png"), "--save-latents", b.path("l.npy"))...), b.stderr)
			assert.Contains(t, b.stderr, "daguerre: cancelled\n")
			assert.Empty(t, b.files(), "nothing partial")
			assert.Zero(t, b.backend.LiveModels())
		})
	}
}

func TestGenerateCancelledKeepsFinishedPictures(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	b.backend.Hook = func(ctx context.Context, c fake.Call) error {
		if c.Op == fake.OpDecodeLatents && c.Nth == 2 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	assert.Equal(t, ExitCancelled, b.run(small("-n", "4", "--batch", "1", "--json", "-o", b.path("a.png"))...))
	files := b.files()
	require.Len(t, files, 3)
	assert.Equal(t, []string{"a-0.png", "a-1.png"}, files[1:])
	assert.Contains(t, files[0], ".daguerre-run-", "the journal, to continue with")
	for _, f := range files[1:] {
		readPNG(t, b.path(f))
	}
	events := b.events()
	assert.EqualValues(t, ExitCancelled, events[len(events)-1]["exit_code"])
}

func TestGenerateFailureNamesTheJob(t *testing.T) {
	b := newBench(t)
	config := b.write("run.toml", strings.ReplaceAll(twoJobs, "OUT", b.path("out")))
	b.backend.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpDecodeLatents && c.Nth >= 1 {
			return fmt.Errorf("planted")
		}
		return nil
	}
	assert.Equal(t, ExitFailure, b.run("generate", "-c", config))
	assert.Contains(t, b.stderr, "job 2 of 2: ")
	assert.FileExists(t, b.path("out/0-5.png"), "the first job's picture stays")
}

func TestGenerateUnwritableFolder(t *testing.T) {
	b := newBench(t)
	b.write("plain", "x")
	assert.Equal(t, ExitUsage, b.run(small("-o", b.path("plain/a.png"))...))
	assert.Contains(t, b.stderr, "choose another with -o")
	assert.Zero(t, b.backend.Count(fake.OpOpen))
}
