package native

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var (
	_ backend.Trier     = (*Backend)(nil)
	_ backend.Inspected = (*Model)(nil)
)

// Build names the library's version, variant, engine and compiler.
func (b *Backend) Build() string {
	l := b.Library()
	return strings.Join([]string{l.Variant, l.Version, l.Engine, l.Compiler}, ", ")
}

// Try computes a layer by itself.
func (b *Backend) Try(ctx context.Context, t backend.Trial, values []float32) (time.Duration, error) {
	const op = "trying a layer"
	if err := ctx.Err(); err != nil {
		return 0, wrapped(op, err)
	}
	kinds := []backend.TrialKind{backend.TrialConv2D, backend.TrialAttention, backend.TrialLinear}
	if err := cmp.Or(contract.OneOf("kind", t.Kind, kinds), contract.OneOf("convolution", t.Convolution, contract.Convolution),
		contract.OneOf("flash attention", t.FlashAttention, contract.FlashAttention), contract.OneOf("type", t.Type, backend.Types)); err != nil {
		return 0, refused(op, err)
	}
	seconds, err := b.lib.RunTrial(deviceName(t.Device), bindings.Trial{Kind: number(bindings.TrialKinds, t.Kind),
		Convolution: number(bindings.Convs, t.Convolution), FlashAttention: number(bindings.Flashes, t.FlashAttention),
		Type: number(bindings.Types, t.Type), Batch: int64(t.Batch), Height: int64(t.Height), Width: int64(t.Width), In: int64(t.In),
		Out: int64(t.Out), Amplitude: t.Amplitude, Repeats: int32(t.Repeats)}, values)
	return time.Duration(seconds * float64(time.Second)), wrapped(op, err)
}

// Nodes lists the nodes of the graph that a stage would run.
func (m *Model) Nodes(q backend.ComputeQuery) ([]backend.NodeGroup, error) {
	nodes, err := ask(m, q, m.handle.ComputeNodes)
	out := make([]backend.NodeGroup, len(nodes))
	for i, n := range nodes {
		out[i] = backend.NodeGroup{Op: n.Op.String(), Operands: n.Operands.String(), Supported: n.Supported != 0, Count: int(n.Count),
			LargestBytes: n.LargestBytes, Example: n.Example.String()}
	}
	return out, err
}

// Transfers tells what was copied between host and devices.
func (m *Model) Transfers() (backend.TransferStats, error) {
	t, err := get(m, "counting copies", m.handle.Transfers)
	return backend.TransferStats{Runs: t.Runs, Uploads: t.Uploads, UploadBytes: t.UploadBytes, Downloads: t.Downloads,
		DownloadBytes: t.DownloadBytes, PinnedBytes: t.PinnedBytes}, err
}
