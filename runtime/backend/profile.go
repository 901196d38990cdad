package backend

// ProfileEntry is the time that one operation took in one module of one stage.
type ProfileEntry struct {
	Stage      string  `json:"stage"`  // "text_encoder", "text_encoder_2", "unet", "vae_encode", "vae_decode"
	Module     string  `json:"module"` // the one whose weights were read last: "down_blocks.1.attentions.0.proj_in"
	Op         string  `json:"op"`     // ggml's name, or that of one of the library's kernels: "conv2d_bf16"
	Calls      int64   `json:"calls"`
	Seconds    float64 `json:"seconds"`
	Operations float64 `json:"operations"` // multiplications and additions of products and attention; 0 for the rest
}

// Profiler is a Model that can tell where its time goes.
type Profiler interface {
	// SetProfile turns measuring on or off, and forgets what was measured. While it is on, graphs are computed node by node.
	// That is a little slower, and a computation cannot be cancelled inside.
	SetProfile(enabled bool) error
	// Profile returns what was measured, in the order of stages, modules and operations.
	Profile() ([]ProfileEntry, error)
}
