package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestSeamlessIsSaidToEveryModel: everything of a run that has borders is told to wrap them, and nothing of the next run.
func TestSeamlessIsSaidToEveryModel(t *testing.T) {
	b := &fake.Backend{}
	p, err := Open(t.Context(), Config{Upscaler: "esrgan", TAESD: "taesd"}, WithBackend(b))
	require.NoError(t, err)
	r := withHires(request.Hires{Scale: 2, Upscaler: request.UpscaleModel})
	r.Seamless = request.SeamlessX
	r.ControlNets = []request.ControlNet{controlOf("net")}
	out := generate(t, p, r, WithPreview(2, PreviewTAESD), WithProgress(func(Progress) {}))
	assert.Equal(t, "x", out.Manifest(out.Images[0]).Seamless)
	seen := map[fake.Op]int{}
	for _, c := range b.Calls() {
		want := backend.WrapX
		if c.Op == fake.OpUpscale { // by tiles, which have borders of their own
			want = 0
		}
		if c.Op == fake.OpOpen {
			continue
		}
		assert.Equal(t, want, c.Wrap, c.Op)
		seen[c.Op]++
	}
	for _, op := range []fake.Op{fake.OpUNet, fake.OpControlNet, fake.OpEncodeHint, fake.OpEncodeImage, fake.OpDecodeLatents, fake.OpUpscale} {
		assert.Positive(t, seen[op], op)
	}
	calls := len(b.Calls())
	plain := generate(t, p, small("a red circle"))
	for _, c := range b.Calls()[calls:] {
		assert.Zero(t, c.Wrap, c.Op)
	}
	assert.Empty(t, plain.Manifest(plain.Images[0]).Seamless)
	_, err = p.Generate(t.Context(), request.Request{Prompt: "x", Seamless: "xy"})
	require.ErrorIs(t, err, request.ErrInvalid)
	require.NoError(t, p.Close())
}
