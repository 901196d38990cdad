package pipeline

import (
	"log/slog"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// OpenOption is an optional collaborator of a Pipeline.
type OpenOption func(*openOptions)

type openOptions struct {
	backend backend.Backend
	logger  *slog.Logger
	jobs    []request.Request
}

// WithBackend computes through b, for instance backend/fake in tests, instead of libdaguerre. b
// stays the caller's and may serve several pipelines.
func WithBackend(b backend.Backend) OpenOption { return func(o *openOptions) { o.backend = b } }

// WithJobs says what the Pipeline is opened for, so that weights are held in a way that leaves room for these jobs. Without it, room is
// left for one picture of the model's own size. A job that needs more makes room by itself, as far as that is possible.
func WithJobs(jobs ...request.Request) OpenOption {
	return func(o *openOptions) { o.jobs = append(o.jobs, jobs...) }
}

// WithLogger sends what the pipeline has to say to l; without it the pipeline is silent.
func WithLogger(l *slog.Logger) OpenOption { return func(o *openOptions) { o.logger = l } }

// GenerateOption changes how one Generate call reports.
type GenerateOption func(*generateOptions)

type generateOptions struct {
	progress     func(Progress)
	image        func(Image) error
	previewEvery int
	previewMode  PreviewMode
	loras        *LoRAHandle
}

// WithProgress calls f at the start of every stage and after every denoising step of this call, from
// the goroutine that called Generate: a slow f slows the run. Several may be given.
func WithProgress(f func(Progress)) GenerateOption {
	return func(o *generateOptions) {
		if before := o.progress; before != nil {
			o.progress = func(p Progress) { before(p); f(p) }
			return
		}
		o.progress = f
	}
}

// WithImages calls f with each picture as soon as it is finished, in the order of their indices, so
// that it can be saved before the next ones are computed. An error of f ends Generate with that error.
func WithImages(f func(Image) error) GenerateOption {
	return func(o *generateOptions) { o.image = f }
}

// WithPreview adds a picture of the latents as they stand to Progress.Previews, at every every-th step (at least 1).
func WithPreview(every int, mode PreviewMode) GenerateOption {
	return func(o *generateOptions) { o.previewEvery, o.previewMode = max(every, 1), mode }
}

// WithLoRAs lets h change the adapters of this call while it runs.
func WithLoRAs(h *LoRAHandle) GenerateOption {
	return func(o *generateOptions) { o.loras = h }
}
