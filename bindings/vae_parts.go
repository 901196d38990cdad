package bindings

import (
	"runtime"
	"unsafe"
)

// vaePartFuncs run the VAE in parts.
type vaePartFuncs struct {
	// DG_API dg_status dg_vae_part_get_info(dg_model* model, int32_t stage, dg_vae_part_info* out, char* msg, size_t msg_cap);
	vaePartGetInfo func(model uintptr, stage int32, out *VAEPartInfo, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_vae_run_part(dg_model* model, const dg_vae_part* in, float* output, size_t output_count, float* measured, size_t measured_count, char* msg, size_t msg_cap);
	vaeRunPart func(model uintptr, in *vaePart, output *float32, outputCount uintptr, measured *float32, measuredCount uintptr, msg *byte, msgCap uintptr) int32
}

func (f *vaePartFuncs) symbols() []symbol {
	return []symbol{
		{"dg_vae_part_get_info", &f.vaePartGetInfo},
		{"dg_vae_run_part", &f.vaeRunPart},
	}
}

// VAEPartInfo mirrors dg_vae_part_info: the dimensions of one part of the VAE.
type VAEPartInfo struct {
	StructSize  uintptr
	InChannels  int64
	OutChannels int64
	Norms       int64
	Groups      int64
}

// vaePart mirrors dg_vae_part.
type vaePart struct {
	StructSize uintptr
	Stage      Stage
	Reserved   int32
	Height     int64
	Width      int64
	Input      *float32
	Statistics *float32
	CoreTop    int64
	CoreLeft   int64
	CoreHeight int64
	CoreWidth  int64
}

// VAEPart is one run of a part of the VAE; see dg_vae_part.
type VAEPart struct {
	Stage         Stage
	Height, Width int64     // of the input: cells, or pixels for StageVAEEncodeLevels
	Input         []float32 // [in_channels, Height, Width]
	Statistics    []float32 // [norms, groups, 2]; nil: each input's own
	CoreTop       int64     // what to report on; ignored where nothing is measured
	CoreLeft      int64
	CoreHeight    int64
	CoreWidth     int64
}

// VAEPartInfo returns the dimensions of a part of the VAE.
func (m *Model) VAEPartInfo(stage Stage) (VAEPartInfo, error) {
	info := VAEPartInfo{StructSize: unsafe.Sizeof(VAEPartInfo{})}
	err := m.call("dg_vae_part_get_info", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.vaePartGetInfo(handle, int32(stage), &info, msg, msgCap)
	})
	return info, err
}

// RunVAEPart runs a part of the VAE into output, [out_channels, height, width] in the output's units, and writes the statistics of the
// core into measured, [norms, groups, 2], unless that is empty. Lengths are checked before C sees the slices.
func (m *Model) RunVAEPart(in VAEPart, output, measured []float32) error {
	const op = "dg_vae_run_part"
	info, err := m.VAEPartInfo(in.Stage)
	if err != nil {
		return err
	}
	scale := max(m.info.VAE.Downscale, 1)
	height, width := in.Height, in.Width
	switch in.Stage {
	case StageVAEDecodeLevels:
		height, width = height*scale, width*scale
	case StageVAEEncodeLevels:
		height, width = height/scale, width/scale
	}
	lengths := []length{
		{"input", len(in.Input), []int64{info.InChannels, in.Height, in.Width}},
		{"output", len(output), []int64{info.OutChannels, height, width}},
	}
	for _, s := range []struct {
		name   string
		values []float32
	}{{"statistics", in.Statistics}, {"measured", measured}} {
		if len(s.values) > 0 {
			lengths = append(lengths, length{s.name, len(s.values), []int64{info.Norms, info.Groups, 2}})
		}
	}
	if err := checkLengths(op, lengths); err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c := &vaePart{
		Stage: in.Stage, Height: in.Height, Width: in.Width, Input: pinned(&pins, in.Input), Statistics: pinned(&pins, in.Statistics),
		CoreTop: in.CoreTop, CoreLeft: in.CoreLeft, CoreHeight: in.CoreHeight, CoreWidth: in.CoreWidth,
	}
	c.StructSize = unsafe.Sizeof(*c)
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.vaeRunPart(handle, c, pinned(&pins, output), uintptr(len(output)), pinned(&pins, measured), uintptr(len(measured)), msg, msgCap)
	})
}
