package bindings

import (
	"math/bits"
	"runtime"
	"unsafe"
)

// networkFuncs compute with the networks beside SDXL's own.
type networkFuncs struct {
	// DG_API dg_status dg_control_hint(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* embedding, size_t embedding_count, char* msg, size_t msg_cap);
	controlHint func(model uintptr, batch, height, width int64, pixels *float32, embedding *float32, embeddingCount uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_control_eval(dg_model* model, const dg_control_input* in, float* residuals, size_t residual_count, char* msg, size_t msg_cap);
	controlEval func(model uintptr, in *controlInput, residuals *float32, residualCount uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_upscale(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* out, size_t out_count, char* msg, size_t msg_cap);
	upscale func(model uintptr, batch, height, width int64, pixels *float32, out *float32, outCount uintptr, msg *byte, msgCap uintptr) int32
}

func (f *networkFuncs) symbols() []symbol {
	return []symbol{
		{"dg_control_hint", &f.controlHint},
		{"dg_control_eval", &f.controlEval},
		{"dg_upscale", &f.upscale},
	}
}

// ResidualCount returns the floats of one row of a UNet's or a ControlNet's residuals, for latents of height x width, and how
// many residuals they are: after the first convolution, every resnet and downsampling on the way down, and the middle. It is
// false where the sizes are negative or their product is beyond 62 bits.
func (u *UNetInfo) ResidualCount(height, width int64) (floats, residuals int64, ok bool) {
	if u.Levels < 1 || u.Levels > MaxLevels {
		return 0, 0, false
	}
	add := func(channels int64) {
		cells, fits := product(channels, height, width)
		ok = ok && fits && floats <= 1<<62-cells
		floats, residuals = floats+cells, residuals+1
	}
	ok = true
	add(u.Channels[0])
	for l := range u.Levels {
		for range u.Resnets[l] {
			add(u.Channels[l])
		}
		if l+1 < u.Levels {
			height, width = (height+1)/2, (width+1)/2
			add(u.Channels[l])
		}
	}
	add(u.Channels[u.Levels-1])
	return floats, residuals, ok
}

// product multiplies sizes; it is false where one is negative or the product is beyond 62 bits.
func product(factors ...int64) (int64, bool) {
	n := uint64(1)
	for _, f := range factors {
		if f < 0 {
			return 0, false
		}
		hi, lo := bits.Mul64(n, uint64(f))
		if hi != 0 || lo > 1<<62 {
			return 0, false
		}
		n = lo
	}
	return int64(n), true
}

// checkResiduals compares a buffer's length with what rows of residuals need; an empty one may be optional.
func checkResiduals(op string, u *UNetInfo, rows, height, width int64, got int, optional bool) error {
	if got == 0 && optional {
		return nil
	}
	one, _, ok := u.ResidualCount(height, width)
	want, fits := product(rows, one)
	if !ok || !fits {
		return argumentf(op, "the dimensions of residuals are too large or negative: %d rows of %d x %d", rows, width, height)
	}
	if int64(got) != want {
		return argumentf(op, "residuals has %d elements; %d rows of %d x %d cells need %d", got, rows, width, height, want)
	}
	return nil
}

// ControlHint embeds a control picture: pixels [batch, hint_channels, height, width] in [0, 1] to [batch, model_channels,
// height/hint_downscale, width/hint_downscale].
func (m *Model) ControlHint(batch, height, width int64, pixels, embedding []float32) error {
	const op = "dg_control_hint"
	if err := m.loaded(op, ComponentControlNet); err != nil {
		return err
	}
	scale := max(m.info.Control.HintDownscale, 1)
	if height%scale != 0 || width%scale != 0 {
		return argumentf(op, "%d x %d pixels are not multiples of %d", width, height, scale)
	}
	err := checkLengths(op, []length{
		{"pixels", len(pixels), []int64{batch, m.info.Control.HintChannels, height, width}},
		{"embedding", len(embedding), []int64{batch, m.info.UNet.ModelChannels, height / scale, width / scale}},
	})
	if err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.controlHint(handle, batch, height, width, pinned(&pins, pixels), pinned(&pins, embedding),
			uintptr(len(embedding)), msg, msgCap)
	})
}

// ControlInput is one evaluation of a ControlNet; see dg_control_input.
type ControlInput struct {
	Batch         int64 // N >= 1
	Height, Width int64 // of the latents, in cells
	ContextTokens int64
	Sample        []float32 // [N, in_channels, Height, Width]
	Timesteps     []float32 // [N]
	Context       []float32 // [N, ContextTokens, context_dim]
	Pooled        []float32 // [N, pooled_dim]
	SizeIDs       []float32 // [N, size_ids]
	Hint          []float32 // [HintBatch, model_channels, Height, Width]
	HintBatch     int64     // 1 or N
	Scales        []float32 // one for each residual
	ResidualRows  int64     // rows that the residuals are for; N or more
	FirstRow      int64     // the one that the first of the N is added to
	ControlType   int32     // of a Union net
}

// ControlEval evaluates a ControlNet once and adds its scaled residuals to rows FirstRow ... FirstRow+N-1 of residuals. Lengths
// are checked before C sees the slices.
func (m *Model) ControlEval(in ControlInput, residuals []float32) error {
	const op = "dg_control_eval"
	if err := m.loaded(op, ComponentControlNet); err != nil {
		return err
	}
	u := &m.info.UNet
	_, count, _ := u.ResidualCount(in.Height, in.Width)
	lengths := []length{
		{"sample", len(in.Sample), []int64{in.Batch, u.InChannels, in.Height, in.Width}},
		{"timesteps", len(in.Timesteps), []int64{in.Batch}},
		{"pooled", len(in.Pooled), []int64{in.Batch, u.PooledDim}},
		{"size_ids", len(in.SizeIDs), []int64{in.Batch, u.SizeIDs}},
		{"hint", len(in.Hint), []int64{in.HintBatch, u.ModelChannels, in.Height, in.Width}},
		{"scales", len(in.Scales), []int64{count}},
	}
	if u.ContextDim > 0 {
		lengths = append(lengths, length{"context", len(in.Context), []int64{in.Batch, in.ContextTokens, u.ContextDim}})
	}
	if err := checkLengths(op, lengths); err != nil {
		return err
	}
	if err := checkResiduals(op, u, in.ResidualRows, in.Height, in.Width, len(residuals), false); err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c := &controlInput{
		Batch: in.Batch, Height: in.Height, Width: in.Width, ContextTokens: in.ContextTokens,
		Sample: pinned(&pins, in.Sample), Timesteps: pinned(&pins, in.Timesteps), Context: pinned(&pins, in.Context),
		Pooled: pinned(&pins, in.Pooled), SizeIDs: pinned(&pins, in.SizeIDs),
		Hint: pinned(&pins, in.Hint), HintBatch: in.HintBatch, Scales: pinned(&pins, in.Scales), ScaleCount: int64(len(in.Scales)),
		ResidualRows: in.ResidualRows, FirstRow: in.FirstRow, ControlType: in.ControlType,
	}
	c.StructSize = unsafe.Sizeof(*c)
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.controlEval(handle, c, pinned(&pins, residuals), uintptr(len(residuals)), msg, msgCap)
	})
}

// Upscale enlarges pixels [batch, 3, height, width] in [0, 1] to [batch, 3, scale*height, scale*width], not clamped.
func (m *Model) Upscale(batch, height, width int64, pixels, out []float32) error {
	const op = "dg_upscale"
	if err := m.loaded(op, ComponentUpscaler); err != nil {
		return err
	}
	scale := m.info.Upscaler.Scale
	err := checkLengths(op, []length{
		{"pixels", len(pixels), []int64{batch, 3, height, width}},
		{"out", len(out), []int64{batch, 3, height, scale, width, scale}},
	})
	if err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.upscale(handle, batch, height, width, pinned(&pins, pixels), pinned(&pins, out), uintptr(len(out)), msg, msgCap)
	})
}
