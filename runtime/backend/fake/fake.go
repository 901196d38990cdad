// Package fake is a small backend for tests, of the pipeline and of programs that embed it. It has no weights and no native code,
// and its results are always the same.
//
// It behaves as a model would. The prompt decides which colours the picture gets, the seed shows in the result, and every step
// changes it. A picture comes through the VAE and back almost unchanged. Each picture of a batch is computed by itself. A Hook can
// let calls fail, or wait, and every call is recorded.
//
//	b := &fake.Backend{}
//	pipe, err := pipeline.Open(ctx, pipeline.Config{}, pipeline.WithBackend(b))
package fake

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Op names an operation of the backend in a Call.
type Op string

// The operations that are recorded. A Hook sees them.
const (
	OpOpen           Op = "open"
	OpEncodeText     Op = "encode_text"
	OpUNet           Op = "unet"
	OpEncodeImage    Op = "encode_image"
	OpDecodeLatents  Op = "decode_latents"
	OpReleaseCompute Op = "release_compute"
	OpEncodeHint     Op = "encode_hint"
	OpControlNet     Op = "controlnet"
	OpUpscale        Op = "upscale"
	OpDetect         Op = "detect"
	OpLoadLoRA       Op = "load_lora"
	OpLoad           Op = "load"
	OpUnload         Op = "unload"
)

// Call is one recorded operation.
type Call struct {
	Op       Op
	Nth      int                 // how many of this Op came before it on this Backend
	Batch    int                 // images, or chunks of text
	Encoder  int                 // OpEncodeText: 0 or 1
	Kind     backend.Kind        // of the model; none for OpOpen
	Timestep float32             // OpUNet: of the first image
	Wrap     backend.Wrap        // what the context asks for; the fake has no convolutions
	LoRAs    []float32           // OpUNet, OpEncodeText: the first weight of each adapter that is applied
	Kept     backend.FeaturesUse // OpUNet: what it does with features
	OnDevice bool                // OpUNet, OpControlNet: its residuals are on the device

	Components string // OpLoad, OpUnload: the names, with spaces between them
}

// Backend is the fake. The zero value is an SDXL base model; set the fields before first use and do
// not change them afterwards. It is safe for concurrent use.
type Backend struct {
	// InChannels of the UNet: 0 or 4 for an ordinary model, 9 for an inpainting one.
	InChannels int
	// GuidanceDim of the UNet: 0 for an ordinary model, 256 for one that is told the guidance scale (LCM).
	GuidanceDim int
	// Hook is called before each operation, if it is set. It runs in the goroutine of the call, with the context of the call, and
	// the model waits for it. If it returns an error, the call returns that error.
	Hook func(ctx context.Context, call Call) error
	// MemoryLimit, if it is set, is how many bytes each model may hold, by its MemoryStats. An allocation beyond it fails with
	// backend.ErrOutOfMemory. All weights of a base model take 27,500.
	MemoryLimit int64
	// VAELanes is how many pictures of a batch the VAE decodes side by side; 0 counts as 1.
	VAELanes int

	failures failures

	mu    sync.Mutex
	calls []Call
	open  []backend.ModelConfig
	live  atomic.Int64

	loras     atomic.Int64 // adapters resident
	loraBytes atomic.Int64
	features  atomic.Int64 // not closed
}

// Fileless tells the pipeline that no model files are read.
func (b *Backend) Fileless() bool { return true }

// Devices lists one device, "cpu".
func (b *Backend) Devices(ctx context.Context) ([]backend.Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return []backend.Device{{ID: "cpu", Description: "fake", Kind: backend.DeviceCPU, TotalBytes: 8 << 30, FreeBytes: 8 << 30}}, nil
}

// Open returns a new model. It is a ControlNet, a TAESD, an upscaler or a detector if such a file is named, a refiner if the name of the
// model's file has "refiner" in it, else a base model. Files are never read.
func (b *Backend) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	b.mu.Lock()
	b.open = append(b.open, cfg)
	b.mu.Unlock()
	if err := b.enter(ctx, Call{Op: OpOpen}); err != nil {
		return nil, err
	}
	m := &model{backend: b, cfg: cfg, info: b.info(cfg)}
	if err := m.placeWeights(); err != nil {
		return nil, err
	}
	b.live.Add(1)
	return m, nil
}

// Calls returns a copy of the calls so far, in order.
func (b *Backend) Calls() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// Count returns the number of calls of op so far.
func (b *Backend) Count(op Op) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count(op)
}

// Opened returns a copy of the configurations that Open was given, in order.
func (b *Backend) Opened() []backend.ModelConfig {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.open)
}

// LiveModels returns the number of models opened and not closed.
func (b *Backend) LiveModels() int { return int(b.live.Load()) }

func (b *Backend) count(op Op) int {
	n := 0
	for _, c := range b.calls {
		if c.Op == op {
			n++
		}
	}
	return n
}

// enter records a call and runs the hook.
func (b *Backend) enter(ctx context.Context, call Call) error {
	b.mu.Lock()
	call.Nth, call.Wrap = b.count(call.Op), backend.WrapOf(ctx)
	b.calls = append(b.calls, call)
	b.mu.Unlock()
	if b.Hook != nil {
		if err := b.Hook(ctx, call); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *Backend) info(cfg backend.ModelConfig) backend.ModelInfo {
	in, kind := max(b.InChannels, latentChannels), backend.KindSDXLBase
	if in == 9 {
		kind = backend.KindSDXLInpaint
	}
	device := cfg.Device
	if device == "" || device == "auto" {
		device = "cpu"
	}
	encoders, sizeIDs := 2, 6
	if strings.Contains(cfg.Files.Model, "refiner") {
		kind, in, encoders, sizeIDs = backend.KindSDXLRefiner, latentChannels, 1, 5
	}
	names := []string{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"}
	text := backend.TextInfo{VocabSize: vocabSize, Width: textWidth, Layers: 3, Heads: 1, MaxTokens: maxTokens}
	info := backend.ModelInfo{
		Kind: kind, Layout: "original", Precision: backend.PrecisionExact, PrecisionReason: "the fake computes in F32", Threads: 1,
		TextEncoder: text, TextEncoder2: text,
		UNet: backend.UNetInfo{InChannels: in, OutChannels: latentChannels, ModelChannels: 8, ContextDim: encoders * textWidth,
			LabelDim: pooledDim + 256*sizeIDs, PooledDim: pooledDim, SizeIDs: sizeIDs, Channels: []int{8, 16}, Resnets: []int{1, 1},
			TransformerDepth: []int{0, 1}, MiddleDepth: 1, HeadDim: 8, NormNumGroups: 4, GuidanceDim: b.GuidanceDim,
			Blocks: []string{"down_blocks.1.attentions.0.transformer_blocks.0", "mid_block.attentions.0.transformer_blocks.0",
				"up_blocks.0.attentions.0.transformer_blocks.0", "up_blocks.0.attentions.1.transformer_blocks.0"}},
		VAE: backend.VAEInfo{LatentChannels: latentChannels, EncoderChannels: []int{8}, DecoderChannels: []int{8}, Downscale: downscale,
			NormNumGroups: 2},
	}
	info.TextEncoder2.ProjectionDim = pooledDim
	if encoders == 1 {
		info.TextEncoder, info.UNet.GuidanceDim = backend.TextInfo{}, 0
	}
	if network := networkInfo(&info, cfg.Files); network != nil {
		names = network
	}
	for _, name := range names {
		present := encoders == 2 || name != "text_encoder"
		info.Components = append(info.Components, backend.ComponentInfo{Name: name, Present: present, ParameterBytes: weightBytes[name],
			Opened:   present && (len(cfg.Components) == 0 || slices.Contains(cfg.Components, name)),
			FileType: backend.TypeF32, Type: backend.TypeF32, Device: device})
	}
	return info
}
