package fake

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The fake's dimensions: SDXL's structure with very small numbers, and CLIP's vocabulary.
const (
	vocabSize      = 49408
	startToken     = 49406
	endToken       = 49407
	maxTokens      = 77
	textWidth      = 8
	pooledDim      = 8
	latentChannels = 4
	downscale      = 8
)

type model struct {
	backend *Backend
	cfg     backend.ModelConfig
	info    backend.ModelInfo

	holds holdings

	mu     sync.Mutex // held while computing: one call at a time
	closed atomic.Bool
}

func (m *model) Info() backend.ModelInfo { return contract.Info(m.info, m.MemoryStats()) }

// Tokenize gives every word one id that depends on its letters only; , and . are words.
func (m *model) Tokenize(text string) ([]int32, error) {
	if m.closed.Load() {
		return nil, backend.ErrClosed
	}
	text = strings.NewReplacer(",", " , ", ".", " . ").Replace(strings.ToLower(text))
	ids := []int32{}
	for _, word := range strings.Fields(text) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(word))
		ids = append(ids, int32(h.Sum32()%startToken))
	}
	return ids, nil
}

// begin takes the model for one call; the returned function gives it back.
func (m *model) begin(ctx context.Context, call Call) (func(), error) {
	m.mu.Lock()
	if m.closed.Load() {
		m.mu.Unlock()
		return nil, backend.ErrClosed
	}
	err := ctx.Err()
	if err == nil {
		call.Kind = m.info.Kind
		err = m.backend.enter(ctx, call)
	}
	if err != nil {
		m.mu.Unlock()
		return nil, err
	}
	return m.mu.Unlock, nil
}

// check is err as the fake's, or nil.
func (m *model) check(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("fake: %w", err)
}

// compute takes the model for one call, as begin does, with the weights of the query's stage and a compute buffer.
func (m *model) compute(ctx context.Context, call Call, q backend.ComputeQuery) (func(), error) {
	call.Batch = q.Batch
	end, err := m.begin(ctx, call)
	if err != nil {
		return nil, err
	}
	if err := m.use(q); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// transform begins a call that makes one picture-like tensor of another; check allocates the result.
func (m *model) transform(ctx context.Context, op Op, stage backend.Stage, in backend.Tensor,
	check func(backend.ModelInfo, backend.Tensor) (backend.Tensor, error)) (backend.Tensor, func(), error) {
	out, err := check(m.info, in)
	if err != nil {
		return backend.Tensor{}, nil, m.check(err)
	}
	q := backend.ComputeQuery{Stage: stage, Batch: in.Shape[0], Height: in.Shape[2], Width: in.Shape[3]}
	end, err := m.compute(ctx, Call{Op: op}, q)
	if err != nil {
		return backend.Tensor{}, nil, err
	}
	return out, end, nil
}

func (m *model) EncodeText(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	none := backend.TextOutput{}
	out, err := contract.Text(m.info, in)
	if err != nil {
		return none, m.check(err)
	}
	stage := backend.StageText + backend.Stage(in.Encoder)
	shift, err := m.loraShift(in.LoRAs, contract.Component(stage))
	if err != nil {
		return none, err
	}
	end, err := m.compute(ctx, Call{Op: OpEncodeText, Encoder: in.Encoder, LoRAs: firstWeights(in.LoRAs)},
		backend.ComputeQuery{Stage: stage, Batch: len(in.IDs)})
	if err != nil {
		return none, err
	}
	defer end()
	for c, ids := range in.IDs {
		var pooled []float32
		if in.Encoder == 1 {
			pooled = out.Pooled.Data[c*pooledDim:][:pooledDim]
		}
		encodeChunk(in, ids, out.Hidden.Data[c*maxTokens*textWidth:][:maxTokens*textWidth], pooled)
	}
	for i := range out.Hidden.Data {
		out.Hidden.Data[i] += shift[i%len(shift)]
	}
	return out, nil
}

// encodeChunk gives each token the running mean of the embeddings up to it, as causal attention
// would, plus a little of its own; pooled is that mean at the first end token.
func encodeChunk(in backend.TextInput, ids []int32, hidden, pooled []float32) {
	var sum [textWidth]float32
	ended := false
	for t, id := range ids {
		row := embedding(in, id)
		for w := range textWidth {
			sum[w] += row[w]
			mean := sum[w] / float32(t+1)
			hidden[t*textWidth+w] = (mean + 0.25*row[w]) / float32(1+in.ClipSkip)
			if id == endToken && !ended && pooled != nil {
				pooled[w] = mean
			}
		}
		ended = ended || id == endToken
	}
}

func embedding(in backend.TextInput, id int32) (row [textWidth]float32) {
	if custom := int(id) - vocabSize; custom >= 0 {
		copy(row[:], in.Custom.Data[custom*textWidth:])
		return row
	}
	for w := range row {
		row[w] = scatter(uint32(id)*textWidth + uint32(w) + uint32(in.Encoder)*7919)
	}
	return row
}

// scatter maps n to [-1, 1) without pattern (a multiplicative hash).
func scatter(n uint32) float32 {
	n *= 2654435761
	n ^= n >> 15
	n *= 2246822519
	n ^= n >> 13
	return float32(n>>8)/float32(1<<23) - 1
}

// ComputeBytes returns the bytes of the stage's input and output, which grow as a real buffer's would.
func (m *model) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	if err := m.ask(q); err != nil {
		return 0, err
	}
	return m.computeBytes(q)
}

// ComputeLanes implements backend.Laned.
func (m *model) ComputeLanes(q backend.ComputeQuery) (int, error) {
	if err := m.ask(q); err != nil || q.Stage != backend.StageVAEDecode {
		return 1, err
	}
	return max(min(m.backend.VAELanes, q.Batch), 1), nil
}

// ask checks a query.
func (m *model) ask(q backend.ComputeQuery) error {
	if m.closed.Load() {
		return backend.ErrClosed
	}
	return m.check(contract.Query(m.info, q))
}

func (m *model) computeBytes(q backend.ComputeQuery) (int64, error) {
	cells := int64(max(q.Batch, 1)) * int64(q.Height) * int64(q.Width)
	switch q.Stage {
	case backend.StageText, backend.StageText2:
		return int64(max(q.Batch, 1)) * maxTokens * textWidth * 8, nil
	case backend.StageUNet:
		return cells*latentChannels*8 + int64(max(q.Batch, 1)*q.ContextTokens)*2*textWidth*4, nil
	case backend.StageFeatures:
		return cells * latentChannels * 4, nil
	case backend.StageVAEEncode:
		return cells * 3 * 8, nil
	case backend.StageVAEDecode:
		return cells * downscale * downscale * 3 * 8, nil
	case backend.StageControl, backend.StageControlHint, backend.StageUpscale, backend.StageDetect:
		return cells * latentChannels * 8, nil
	}
	return 0, m.check(contract.Invalid("stage", "%d is none of the fake's", q.Stage))
}

func (m *model) ReleaseCompute() error {
	end, err := m.begin(context.Background(), Call{Op: OpReleaseCompute})
	if err != nil {
		return err
	}
	m.releaseCompute()
	end()
	return nil
}

func (m *model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed.Swap(true) {
		m.free(contract.Components)
		m.backend.live.Add(-1)
	}
	return nil
}
