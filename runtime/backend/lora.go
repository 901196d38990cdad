package backend

import "context"

// RawTensor is a tensor as a file has it: in PyTorch's order, little endian. Nobody may change Data, which can be shared.
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

// Module is a part of a model with a weight, and perhaps a bias.
type Module struct {
	Name      string // diffusers' name with the component before it: "unet.mid_block.resnets.0.conv1"
	Kind      ModuleKind
	In, Out   int  // features or channels; a norm's width is both, an embedding has Out features for In words
	Kernel    int  // side of a convolution's kernel; 0 for others
	Bias      bool // it has a bias
	Type      Type // of the weight in memory
	Component string
}

// LoRAForm says how the tensors of a LoRATarget change a weight.
type LoRAForm string

// The forms. W is the weight in PyTorch's order, [out, in] or [out, in, k, k].
const (
	LoRALowRank  LoRAForm = "low_rank"  // dW = scale B A: A [r, in] or [r, in, k, k], B [out, r] or [out, r, 1, 1]
	LoRAKron     LoRAForm = "kron"      // dW = scale kron(A, B): A [a, b], B [c, d], out = ac, in = bd; linear and 1x1 only
	LoRADense    LoRAForm = "dense"     // dW = scale A, A of the weight's shape
	LoRAInScale  LoRAForm = "in_scale"  // dW = scale W diag(A), A [in]
	LoRAOutScale LoRAForm = "out_scale" // dW = scale diag(A) W, A [out]
	LoRABias     LoRAForm = "bias"      // db = scale A, A [out]
	LoRANorm     LoRAForm = "norm"      // dW = scale A for a norm's weight, A [out]
	// LoRABiasScale is db = scale diag(A) b, A [out].
	LoRABiasScale LoRAForm = "bias_scale"
	// LoRAInLowRank is dW = scale W B A over the inputs: A [r, in] or [r, in, 1, 1], B [in, r] or [in, r, 1, 1].
	LoRAInLowRank LoRAForm = "in_low_rank"
	// LoRAOutRotate is dW = diag(1 + B) S(m-1) ... S(0) W - W, and LoRAInRotate is dW = diag(1 + B) W S(0) ... S(m-1) - W, with Scale 1. A
	// [m, blocks, n, n] holds the stages less the identity: S(i) = I + A[i] on blocks of n features. B [out] holds the factors less 1, or
	// is absent. In stage 0 the features of a block are neighbours. In stage i each half of a block is n/2 neighbours, and the halves are
	// 2^i n/2 features apart (a butterfly). Outputs have Out features, inputs have In x Kernel x Kernel. The adapter's weight scales each
	// A[i] and B of LoRAOutRotate; of LoRAInRotate it scales dW.
	LoRAOutRotate LoRAForm = "out_rotate"
	LoRAInRotate  LoRAForm = "in_rotate"
)

// LoRATarget is one change of one module. With a Magnitude m it is a DoRA: the change is then m W'/||W'|| - W, with W' = W + dW
// and the norms along MagnitudeAxis. It is computed once, when the adapter is loaded, and then scaled by its weight.
type LoRATarget struct {
	Module        string
	Form          LoRAForm
	A, B          RawTensor
	Scale         float64
	Magnitude     *RawTensor // [out] or [in]; nil: no DoRA
	MagnitudeAxis int        // 0: one magnitude per output; 1: one per input
}

// LoRA is an adapter in memory, on the model's device. Close frees it when no computation uses it. A call with a closed LoRA is
// an error.
type LoRA interface {
	// Bytes is the memory it takes.
	Bytes() int64
	// Targets is the number of targets it was loaded with.
	Targets() int
	Close() error
}

// LoRAUse applies an adapter in one call. Weights has one weight for each target, in the order in which they were loaded. They
// may differ in every call. A target with a weight of 0 changes nothing at all.
type LoRAUse struct {
	LoRA    LoRA
	Weights []float32
}

// LoRAModel is a Model that can apply adapters.
type LoRAModel interface {
	// Modules lists what adapters can change.
	Modules() []Module
	// LoadLoRA copies an adapter to the model's device. The module of each target must exist and its tensors must have the
	// shapes of its form, else the error is ErrModel. The caller closes the LoRA before the model.
	LoadLoRA(ctx context.Context, targets []LoRATarget) (LoRA, error)
}

// LoRAMerger is a Backend that can add adapters to weights for good. Its method is safe for concurrent use.
type LoRAMerger interface {
	// MergeLoRA adds weight times the change of a target to w, which has the elements of a weight, or a bias, in PyTorch's
	// order.
	MergeLoRA(w []float32, shape []int, t LoRATarget, weight float64) error
}
