package memory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TypePolicy says in which types a component's weights are held: choose_types of native/src/model/precision.cpp.
type TypePolicy struct {
	Matrix    backend.Type // of linear layers; backend.TypeAuto: the file's where that is quantized, else Dense
	Dense     backend.Type // of all other matrices, tables and convolutions
	Pack      bool         // convolutions are laid out for the CPU's own kernels, with padding
	BF16Tiles bool         // BF16 kernels are laid out by tiles of 16 x 32: CPUs that multiply BF16 only
}

// PolicyFor returns the policy of a component that is opened as type asks, in a precision that is decided (not auto), on a device.
// bf16 says that the CPU multiplies BF16.
func PolicyFor(precision backend.Precision, asked backend.Type, device backend.DeviceKind, bf16 bool) TypePolicy {
	p := TypePolicy{Matrix: backend.TypeAuto, Dense: backend.TypeF32, Pack: device == backend.DeviceCPU, BF16Tiles: bf16}
	switch precision {
	case backend.PrecisionF16:
		p.Dense = backend.TypeF16
	case backend.PrecisionBF16:
		p.Dense = backend.TypeBF16
	}
	if asked != "" && asked != backend.TypeAuto {
		p.Matrix = asked
		if !quantized(asked) {
			p.Dense = asked
		}
	}
	return p
}

// ResolvePrecision is what backend.PrecisionAuto stands for on a device: choose_precision of native/src/model/precision.cpp.
func ResolvePrecision(asked backend.Precision, device backend.DeviceKind, bf16 bool) backend.Precision {
	switch {
	case asked != "" && asked != backend.PrecisionAuto:
		return asked
	case device == backend.DeviceCPU && bf16:
		return backend.PrecisionBF16
	}
	return backend.PrecisionF16
}

func dtype(t backend.Type) modelfile.DType { return modelfile.DType(strings.ToUpper(string(t))) }

func quantized(t backend.Type) bool { return dtype(t).Quantized() }

// The layout of packed convolutions: native/src/kernels/conv2d.cpp and tiles.h.
const (
	convTileOut   = 16 // output channels are filled up to
	bf16TileDepth = 32 // input channels of a BF16 tile
)

// tensorAlignment is what a device buffer aligns each tensor to: 32 bytes on a CPU, up to 256 on GPUs, whose share is
// nothing beside their weights.
const tensorAlignment = 32

// Type returns the type in which a weight is held.
func (p TypePolicy) Type(w Weight) backend.Type {
	switch w.Use {
	case backend.UseVector:
		return backend.TypeF32
	case backend.UseMatrix, backend.UseSensitive:
	default:
		return p.Dense
	}
	t := p.Matrix
	if t == backend.TypeAuto || t == "" {
		t = p.Dense
		if file := backend.Type(strings.ToLower(string(w.File))); w.File.Quantized() && fits(file, w.In) { // it may have been reshaped
			t = file
		}
	}
	switch {
	case !quantized(t):
		return t
	case w.Use == backend.UseSensitive:
		return p.Dense
	case fits(t, w.In):
		return t
	case fits(backend.TypeQ8_0, w.In):
		return backend.TypeQ8_0
	}
	return p.Dense
}

// fits reports whether a row of columns consists of whole blocks.
func fits(t backend.Type, columns int64) bool {
	_, ok := dtype(t).Bytes(columns, columns)
	return ok
}

// Bytes returns the size of a weight in memory, as backend.ComponentInfo.ParameterBytes counts it.
func (p TypePolicy) Bytes(w Weight) int64 {
	t, columns, rows := p.Type(w), w.In, w.Out
	if w.Use == backend.UseConv {
		columns = w.Kernel * w.Kernel * w.In
		if p.Pack {
			rows = roundUp(rows, convTileOut)
		}
		if p.Pack && p.BF16Tiles && t == backend.TypeBF16 {
			columns = w.Kernel * w.Kernel * roundUp(w.In, bf16TileDepth)
		}
	}
	n, _ := dtype(t).Bytes(columns*rows, columns)
	return n
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// WeightBytes is what a component's weights take.
type WeightBytes struct {
	Count      int          `json:"count"`      // of the weights
	Parameters int64        `json:"parameters"` // as backend.ComponentInfo.ParameterBytes counts them
	Allocated  int64        `json:"allocated"`  // with alignment and biases that the files do not have
	Largest    int64        `json:"largest"`    // of one weight
	Scratch    []int64      `json:"scratch"`    // what threads hold while they load, of the weights that need most; descending
	Type       backend.Type `json:"type"`       // of most bytes
	FileBytes  int64        `json:"file_bytes"` // of the same tensors in the files
	Mapped     int64        `json:"mapped"`     // of Allocated, what a mapped file can serve as it is
	Quantizes  bool         `json:"quantizes"`  // the files' weights are quantized when they are loaded
	Streamed   int64        `json:"streamed"`   // of Allocated, what would pass through a window; the rest stays in memory
	Table      int64        `json:"table"`      // of Mapped, tables, which are mapped where the rest is streamed
}

// Bytes returns the sizes of a component's weights under a policy.
func (c Component) Bytes(p TypePolicy) WeightBytes {
	out := WeightBytes{Count: len(c.Weights)}
	types := map[backend.Type]int64{}
	for _, w := range c.Weights {
		n := p.Bytes(w)
		out.Parameters += n
		out.Allocated += roundUp(n, tensorAlignment)
		if w.Use == backend.UseConv && !w.Bias {
			out.Allocated += roundUp(4*w.Out, tensorAlignment)
		}
		out.Largest = max(out.Largest, n)
		out.Scratch = append(out.Scratch, p.loadScratch(w, n))
		types[p.Type(w)] += n
		asIs := dtype(p.Type(w)) == w.File
		mappable := asIs && w.Use != backend.UseVector && !(w.Use == backend.UseConv && p.Pack)
		switch {
		case mappable && w.Use == backend.UseTable:
			out.Table += n
		case w.Use != backend.UseVector:
			out.Streamed += roundUp(n, tensorAlignment)
		}
		if mappable {
			out.Mapped += n
		}
		fallback := p.Type(w) == backend.TypeQ8_0 && p.Matrix != backend.TypeQ8_0 // quick to make
		out.Quantizes = out.Quantizes || quantized(p.Type(w)) && !asIs && !fallback
		file, _ := w.File.Bytes(w.Elements(), w.Elements())
		out.FileBytes += file
	}
	slices.SortFunc(out.Scratch, func(a, b int64) int { return cmp.Compare(b, a) })
	out.Scratch = out.Scratch[:min(len(out.Scratch), maxLoaders)]
	for _, t := range backend.Types { // in a fixed order, so that equals are decided alike
		if types[t] > types[out.Type] {
			out.Type = t
		}
	}
	return out
}

// maxLoaders is for how many threads the scratch memory of loading is known.
const maxLoaders = 16

// loadPiece is how much of a weight is read and converted at a time (kPiece of native/src/model/params.cpp).
const loadPiece = 4 << 20

// loadScratch is what one thread holds while it loads a weight of bytes: nothing where the file has it as it is wanted, else a piece as
// it is read, in between as float32 or in its own order, and packed.
func (p TypePolicy) loadScratch(w Weight, bytes int64) int64 {
	same, packed := dtype(p.Type(w)) == w.File, w.Use == backend.UseConv && p.Pack
	piece := min(loadPiece, bytes)
	n := int64(0)
	if !same || packed {
		n += piece
	}
	if !same && packed {
		n += piece
	}
	if !same && quantized(p.Type(w)) {
		n += 4 * piece
	}
	return n
}
