package backend

import "github.com/daguerre-go/daguerre/internal/identity"

// Table says where the files of a model hold its weights. Whoever reads the files' headers makes it; a backend that computes with
// real weights takes it as it is. It is plain data and is not changed once it is made.
type Table struct {
	Files   []TableFile
	Weights []Weight

	Layout          string // of the files' names: "original", "diffusers" or "mixed"
	VPrediction     bool   // a file carries the v_pred marker tensor
	ZeroTerminalSNR bool   // a file carries the ztsnr marker tensor
	// Unused names the tensors of the files that no component uses and that are not usual either. Warnings says so, in sentences for the
	// user that name the file.
	Unused   []string
	Warnings []string
}

// TableFile is a file that weights are read from, as it was when its header was read.
type TableFile struct {
	Path     string
	Identity identity.ID // zero: not known, and not compared
}

// Weight is one tensor that a component needs, and where a file holds it.
type Weight struct {
	Component string  // as ComponentInfo names it
	Name      string  // canonical, as diffusers' folders would name it: "unet.conv_in.weight"
	Use       Use     // by the component
	Shape     []int64 // as the component takes it, in PyTorch's order

	Stored  string  // its name in the file
	File    int     // index into Table.Files
	Offset  int64   // of the first byte, from the start of the file
	Bytes   int64   // from Offset on, to the last element
	Type    Type    // as stored; also one that no model can be opened with, as "f64" or "iq4_xs"
	Strides []int64 // of each dimension, in elements of the file; nil: in the order of Shape
	// Scale multiplies values of an FP8 type. It is one number, or one for each of several equal runs of elements in the order of Shape,
	// such as rows. nil: nothing.
	Scale []float32
}

// Use says what a weight does, on which the type depends that it is held in.
type Use string

// The uses.
const (
	UseMatrix    Use = "matrix"    // of a linear layer; it may be quantized
	UseSensitive Use = "sensitive" // of a linear layer that is small and steers everything: never quantized
	UseTable     Use = "table"     // embeddings: never quantized
	UseConv      Use = "conv"      // a convolution's kernel: never quantized
	UseVector    Use = "vector"    // a bias or the weight of a norm: F32
)
