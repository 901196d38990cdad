package native

import (
	"context"
	"runtime"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Model is an open model; [Backend.Open] returns one as a backend.Model. Its methods may be called
// from several goroutines and run one at a time. Close it when it is no longer needed; one that is
// forgotten is closed some time after it became unreachable.
type Model struct {
	backend *Backend
	handle  *bindings.Model
	info    backend.ModelInfo
	turn    chan struct{} // holds one value while a call runs
	wrap    backend.Wrap  // what the library was told last; the turn's
	cleanup runtime.Cleanup
}

var (
	_ backend.Model = (*Model)(nil)
	_ backend.Laned = (*Model)(nil)
)

func newModel(b *Backend, cfg backend.ModelConfig, table *backend.Table, handle *bindings.Model) (*Model, error) {
	info, err := modelInfo(handle.Info())
	if err != nil {
		return nil, err
	}
	info.UNet.Blocks = blocksOf(table)
	info.Layout, info.VPrediction, info.ZeroTerminalSNR = table.Layout, table.VPrediction, table.ZeroTerminalSNR
	if info.UnusedTensors = int64(len(table.Unused)); info.UnusedTensors > 0 {
		info.UnusedExample = table.Unused[0]
	}
	contract.Place(info, cfg)
	m := &Model{backend: b, handle: handle, info: info, turn: make(chan struct{}, 1)}
	m.cleanup = runtime.AddCleanup(m, func(handle *bindings.Model) { _ = handle.Close() }, handle)
	return m, nil
}

// Info describes the model; the value is the caller's. It does not wait for a running call, and is valid after Close, when nothing
// is loaded.
func (m *Model) Info() backend.ModelInfo { return contract.Info(m.info, m.MemoryStats()) }

// Tokenize returns CLIP's token ids of text, without start, end and padding. It does not wait for
// other calls. Text that is not UTF-8 is an error.
func (m *Model) Tokenize(text string) ([]int32, error) {
	if _, err := m.handle.Memory(); err != nil { // only a closed model refuses
		return nil, wrapped(opTokenize, err)
	}
	return m.backend.Tokenize(text)
}

// Close frees the model. It waits for a running call; closing again does nothing.
func (m *Model) Close() error {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	m.cleanup.Stop()
	return wrapped("closing the model", m.handle.Close())
}

// run makes one call of the library when it is this call's turn. Cancelling ctx ends the waiting, or
// sets the model's cancel flag, which is cleared before the next call can begin. A call that ended
// before the flag reached it is a success.
func (m *Model) run(ctx context.Context, op string, call func() error) error {
	if err := ctx.Err(); err != nil {
		return wrapped(op, err)
	}
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return wrapped(op, ctx.Err())
	}
	defer func() { <-m.turn }()
	if err := ctx.Err(); err != nil {
		return wrapped(op, err)
	}
	if axes := backend.WrapOf(ctx); axes != m.wrap && op != opCompute && op != opRelease && op != opText && op != opResiduals {
		if err := m.handle.SetWrap(int32(axes)); err != nil {
			return failed(ctx, op, err)
		}
		m.wrap = axes
	}
	flagged := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(flagged)
		_ = m.handle.SetCancel(true) // only a closed model refuses, and its turn is ours
	})
	err := call()
	if !stop() {
		<-flagged
		if clearErr := m.handle.SetCancel(false); clearErr != nil && err == nil {
			err = clearErr
		}
	}
	runtime.KeepAlive(m)
	return failed(ctx, op, err)
}
