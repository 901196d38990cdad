package backend

import "context"

// RawTensor is a tensor as a file stores it: PyTorch's order, little endian. Data may be shared and is
// not to be changed.
type RawTensor struct {
	Shape []int
	Type  Type // TypeF32, TypeF16 or TypeBF16
	Data  []byte
}

// ModuleKind says what a module computes.
type ModuleKind string

// The kinds of module.
const (
	ModuleLinear    ModuleKind = "linear"
	ModuleConv2D    ModuleKind = "conv2d"
	ModuleNorm      ModuleKind = "norm"
	ModuleEmbedding ModuleKind = "embedding"
)

// Module is a part of a model that holds a weight, and perhaps a bias.
type Module struct {
	Name      string // diffusers' name with the component before it: "unet.mid_block.resnets.0.conv1"
	Kind      ModuleKind
	In, Out   int  // features or channels; a norm's width is both, an embedding has Out features for In words
	Kernel    int  // side of a convolution's kernel; 0 for others
	Type      Type // of the weight in memory
	Component string
}

// LoRAForm says how a LoRATarget's tensors make a change of a weight.
type LoRAForm string

// The forms. W is the weight as PyTorch has it, [out, in] or [out, in, k, k].
const (
	LoRALowRank  LoRAForm = "low_rank"  // dW = scale B A: A [r, in] or [r, in, k, k], B [out, r] or [out, r, 1, 1]
	LoRAKron     LoRAForm = "kron"      // dW = scale kron(A, B): A [a, b], B [c, d], out = ac, in = bd; linear and 1x1 only
	LoRADense    LoRAForm = "dense"     // dW = scale A, A of the weight's shape
	LoRAInScale  LoRAForm = "in_scale"  // dW = scale W diag(A), A [in]
	LoRAOutScale LoRAForm = "out_scale" // dW = scale diag(A) W, A [out]
	LoRABias     LoRAForm = "bias"      // db = scale A, A [out]
	LoRANorm     LoRAForm = "norm"      // dW = scale A for a norm's weight, A [out]
)

// LoRATarget is one change of one module. With a Magnitude it is a DoRA: with W' = W + dW, the change is
// m W'/||W'|| - W, norms taken along MagnitudeAxis; it is fixed when loaded and linear in its weight.
type LoRATarget struct {
	Module        string
	Form          LoRAForm
	A, B          RawTensor
	Scale         float64
	Magnitude     *RawTensor // [out] or [in]; nil: no DoRA
	MagnitudeAxis int        // 0: one magnitude per output; 1: one per input
}

// LoRA is an adapter's targets, resident where the model is. Close frees it, and waits until no computation uses it; a
// closed LoRA in a LoRAUse is an error.
type LoRA interface {
	// Bytes is the memory it takes.
	Bytes() int64
	// Targets is the number of targets it was loaded with.
	Targets() int
	Close() error
}

// LoRAUse applies an adapter in one call. Weights has one effective weight per target, in the order they were loaded;
// they may differ in every call. Targets of weight 0 take no part, exactly.
type LoRAUse struct {
	LoRA    LoRA
	Weights []float32
}

// LoRAModel is a Model that applies adapters.
type LoRAModel interface {
	// Modules lists what adapters can change, by canonical name.
	Modules() []Module
	// LoadLoRA makes an adapter resident where the model's weights are. Every target's module has to exist and its tensors to
	// have their form's shapes. The targets' data is copied. The caller closes the LoRA before the model.
	LoadLoRA(ctx context.Context, targets []LoRATarget) (LoRA, error)
}

// LoRAMerger adds adapters to weights for good. Its method needs no model and is safe for concurrent use.
type LoRAMerger interface {
	// MergeLoRA adds weight times a target's change to w, the elements of a weight (or bias, or norm's weight) of the given
	// shape in PyTorch's order.
	MergeLoRA(w []float32, shape []int, t LoRATarget, weight float64) error
}
