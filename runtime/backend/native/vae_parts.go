package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.VAEParts = (*Model)(nil)

// VAEPartInfo describes a part of the VAE.
func (m *Model) VAEPartInfo(stage backend.Stage) (backend.VAEPartInfo, error) {
	if stage < backend.StageVAEDecodeMiddle || stage > backend.StageVAEEncodeMiddle {
		return backend.VAEPartInfo{}, invalid(opVAEPart, "stage", "%d is none of the VAE's parts", stage)
	}
	if err := contract.Need(m.info, contract.Component(stage)); err != nil {
		return backend.VAEPartInfo{}, refused(opVAEPart, err)
	}
	info, err := get(m, opVAEPart, func() (bindings.VAEPartInfo, error) { return m.handle.VAEPartInfo(int32(stage)) })
	return backend.VAEPartInfo{InChannels: int(info.InChannels), OutChannels: int(info.OutChannels),
		Norms: int(info.Norms), Groups: int(info.Groups)}, err
}

// RunVAEPart runs a part of the VAE on one picture or tile.
func (m *Model) RunVAEPart(ctx context.Context, in backend.VAEPartInput) (none backend.Tensor, _ backend.NormStatistics, _ error) {
	const op = opVAEPart
	info, err := m.VAEPartInfo(in.Stage)
	if err != nil {
		return none, nil, err
	}
	if err := contract.Tensor("input", in.Input, 1, info.InChannels, contract.Any, contract.Any); err != nil {
		return none, nil, refused(op, err)
	}
	h, w, scale := in.Input.Shape[2], in.Input.Shape[3], m.info.VAE.Downscale
	outH, outW := h, w
	switch in.Stage {
	case backend.StageVAEDecodeLevels:
		outH, outW = h*scale, w*scale
	case backend.StageVAEEncodeLevels:
		if h%scale != 0 || w%scale != 0 {
			return none, nil, invalid(op, "input", "%d x %d (W x H) are not multiples of %d", w, h, scale)
		}
		outH, outW = h/scale, w/scale
	}
	statistics := info.Norms * info.Groups * 2
	if in.Statistics != nil && (len(in.Statistics) != statistics || statistics == 0) {
		return none, nil, invalid(op, "statistics", "has %d values; this part has %d norms of %d groups",
			len(in.Statistics), info.Norms, info.Groups)
	}
	out, err := contract.Result(1, info.OutChannels, outH, outW)
	if err != nil {
		return none, nil, refused(op, err)
	}
	native := bindings.VAEPart{Stage: int32(in.Stage), Height: int64(h), Width: int64(w), Input: bindings.Pointer(in.Input.Data),
		Statistics: bindings.Pointer(in.Statistics)}
	var measured backend.NormStatistics
	if !in.Core.Empty() {
		if statistics == 0 {
			return none, nil, invalid(op, "core", "is given, but this part has no statistics to report")
		}
		measured = make(backend.NormStatistics, statistics)
		native.CoreTop, native.CoreLeft = int64(in.Core.Min.Y), int64(in.Core.Min.X)
		native.CoreHeight, native.CoreWidth = int64(in.Core.Dy()), int64(in.Core.Dx())
	}
	if err := m.run(ctx, op, func() error { return m.handle.RunVAEPart(native, out.Data, measured) }); err != nil {
		return none, nil, err
	}
	return out, measured, nil
}
