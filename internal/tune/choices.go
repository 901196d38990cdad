package tune

import (
	"fmt"
	"strings"
)

// The values of Choices.
const (
	IM2Col   = "im2col"   // convolutions as a product over columns in memory
	Direct   = "direct"   // convolutions by a kernel of their own
	Flash    = "flash"    // attention without scores in memory
	Plain    = "plain"    // attention with scores in memory
	Joint    = "joint"    // both halves of guidance in one evaluation
	Separate = "separate" // one after the other
)

// Choices are ways of computing. A zero field is left to the program's defaults.
type Choices struct {
	Convolution string `json:"convolution,omitempty"`
	Attention   string `json:"attention,omitempty"`
	Guidance    string `json:"guidance,omitempty"`
	TileSize    int    `json:"vae_tile_size,omitempty"` // pixels a side, where the VAE goes by tiles
}

// String names the choices: "direct convolutions, flash attention, guidance in one batch, VAE tiles of 448".
func (c Choices) String() string {
	var words []string
	if c.Convolution != "" {
		words = append(words, c.Convolution+" convolutions")
	}
	if c.Attention != "" {
		words = append(words, c.Attention+" attention")
	}
	switch c.Guidance {
	case Joint:
		words = append(words, "guidance in one batch")
	case Separate:
		words = append(words, "halves of guidance one after the other")
	}
	if c.TileSize > 0 {
		words = append(words, fmt.Sprintf("VAE tiles of %d", c.TileSize))
	}
	return strings.Join(words, ", ")
}

// Status is what came of a candidate.
type Status string

// The outcomes. Only candidates that are OK can be chosen.
const (
	OK          Status = "ok"
	Wrong       Status = "wrong"         // it computes something else than the CPU
	NoMemory    Status = "out of memory" // of the device
	Unsupported Status = "unsupported"   // the device has no kernel for it
	Interrupted Status = "interrupted"   // the program ended while it was tried
	Failed      Status = "failed"
)

// Candidate is a value of a setting, and what came of it.
type Candidate struct {
	Setting string  `json:"setting"` // "convolution", "attention", "guidance", "vae_tile_size"
	Value   string  `json:"value"`
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`         // of all its layers; of a tile size, for a megapixel
	Error   float64 `json:"error,omitempty"` // relative L2 against the CPU on small layers; the largest
	Reason  string  `json:"reason,omitempty"`
	Chosen  bool    `json:"chosen"`
}

// Report is what was found on a device.
type Report struct {
	Schema     int         `json:"schema"`
	Device     string      `json:"device"` // as the driver calls it
	Driver     string      `json:"driver"`
	Build      string      `json:"build"` // of the library
	Type       string      `json:"type"`  // of the weights
	Size       string      `json:"size"`  // of the layers: "sdxl" or "small"
	Choices    Choices     `json:"choices"`
	Candidates []Candidate `json:"candidates"`
	Measured   string      `json:"measured"` // when, RFC 3339
	Seconds    float64     `json:"seconds"`  // that measuring took
}

// Refused lists the candidates that cannot be chosen, in words.
func (r Report) Refused() []string {
	var out []string
	for _, c := range r.Candidates {
		if c.Status != OK {
			out = append(out, fmt.Sprintf("%s %s: %s (%s)", c.Setting, c.Value, c.Status, c.Reason))
		}
	}
	return out
}
