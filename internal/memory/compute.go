package memory

import (
	"errors"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Query asks for the compute buffer of one stage.
type Query struct {
	Owner string        // whose graph it is
	Stage backend.Stage // the VAE's are StageVAEEncode and StageVAEDecode, also by tiles
	Batch int           // rows of the UNet, chunks of text, pictures that wait for the VAE
	// all pictures in one call of the VAE, else as many as are computed side by side, which Fitted takes for one
	Together         bool
	Height, Width    int // latent cells
	Tokens           int // UNet and ControlNet
	Texts            int // UNet and ControlNet: as backend.ComputeQuery's
	ImagePrompts     int // UNet: as backend.ComputeQuery's, with the next two
	ImageTokens      int
	ImageRows        int
	ImageMasks       bool
	Regions          backend.RegionTexts // UNet, ControlNet and features: as backend.ComputeQuery's
	Change           backend.UNetChange
	Tiled            bool // the VAE by tiles
	AttentionSlicing bool
	Keep             backend.Keep        // UNet and StageFeatures
	Use              backend.FeaturesUse // with Keep: as backend.ComputeQuery's
	Branch           int                 // with Keep
	Residuals        backend.ResidualsAt // UNet: of ControlNets
	BlockRows        int                 // UNet: of T2I-Adapters
	XS               string              // UNet and features: the owner of the ControlNet-XS inside; "": there is none
	Kinds            int                 // ControlNet: pictures that a Union net sees at once; 0: one
	LoRAs            *LoRAs              // UNet and text
}

// Ask is the query as backends understand it, but for XS, which is a model there. Sizes are in their units already.
func (q Query) Ask() backend.ComputeQuery {
	return backend.ComputeQuery{Stage: q.Stage, Batch: q.Batch, Height: q.Height, Width: q.Width, ContextTokens: q.Tokens, Texts: q.Texts,
		Keep: q.Keep, Use: q.Use, Branch: q.Branch, ImagePrompts: q.ImagePrompts, ImageTokens: q.ImageTokens, ImageRows: q.ImageRows,
		ImageMasks: q.ImageMasks, Change: q.Change, Residuals: q.Residuals, BlockRows: q.BlockRows, Kinds: q.Kinds,
		LoRAs: q.LoRAs.shapes(), Regions: q.Regions}
}

// Compute returns the bytes of a stage's compute buffer: the backend's own measurement, or Fitted.
type Compute func(Query) (int64, error)

// ErrNotMeasured is matched by the error of a Compute that cannot answer a query.
var ErrNotMeasured = errors.New("the compute buffer cannot be measured")

// Cached asks compute once for each query. It is safe for concurrent use where compute is.
func Cached(compute Compute) Compute {
	var mu sync.Mutex
	known := map[Query]int64{}
	return func(q Query) (int64, error) {
		mu.Lock()
		n, ok := known[q]
		mu.Unlock()
		if ok {
			return n, nil
		}
		n, err := compute(q)
		if err != nil {
			return 0, err
		}
		mu.Lock()
		known[q] = n
		mu.Unlock()
		return n, nil
	}
}
