package backend

import "context"

// Keep says which results of layers inside the UNet are kept from one evaluation to others.
type Keep string

// What can be kept.
const (
	// KeepDeep is what the UNet's way up is before it takes skip Branch. An evaluation that reuses it computes only the skips up to
	// Branch, and the way up from there (DeepCache, arXiv 2312.00858).
	KeepDeep Keep = "deep"
	// KeepTextAttention is what each cross-attention adds. An evaluation that reuses it reads no context (T-GATE, arXiv 2404.02747).
	KeepTextAttention Keep = "text_attention"
)

// FeaturesUse says what an evaluation does with features.
type FeaturesUse string

// The uses. Mean and Reuse need an earlier Store with the same batch, size, Keep and Branch, and are ErrArgument without it.
const (
	FeaturesStore FeaturesUse = "store" // replaces what is kept
	FeaturesMean  FeaturesUse = "mean"  // of what is kept and of this evaluation's
	FeaturesReuse FeaturesUse = "reuse" // computes with what is kept
)

// Features are results of layers inside a model's UNet. They stay on its device, and count as compute buffer. Close frees them; it may be
// called again, and before the model is closed.
type Features interface {
	Close() error
}

// Kept is what an evaluation of the UNet keeps, or takes from earlier ones. The zero value is nothing.
type Kept struct {
	Features Features
	Keep     Keep
	Use      FeaturesUse
	Branch   int // of KeepDeep: 0 to UNetInfo.Branches()-1
}

// FeatureModel is a Model whose UNet can keep features.
type FeatureModel interface {
	// NewFeatures makes room for features. It takes no memory before the first Store.
	NewFeatures(ctx context.Context) (Features, error)
}

// Branches is how many skips the UNet has, which is also how many branches KeepDeep can have.
func (u UNetInfo) Branches() int { return max(len(u.ResidualShapes(1, 1))-1, 0) }
