package models

import (
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// titles are the keys of metadata that name a model: ModelSpec's, kohya's, GGUF's.
var titles = []string{"modelspec.title", "ss_output_name", "general.name"}

// NamesOf lists what a file or folder of weights is called: its repository if it was fetched by name, itself, and titles in its metadata.
func NamesOf(path string, metadata map[string]string) []string {
	out := []string{Name(path)}
	if o, ok := hubcache.OriginOf(path); ok {
		out = append(out, o.Repository)
	}
	for key, value := range metadata {
		for _, title := range titles {
			if key == title || strings.HasSuffix(key, ": "+title) { // of a folder's component
				out = append(out, value)
			}
		}
	}
	return out
}

// AdoptDistilled takes over how the authors of a distilled model or adapter run it.
func (s *Settings) AdoptDistilled(d scheduler.Distilled) {
	s.Distilled, s.SchedulerName, s.Scheduler = d, d.Scheduler, s.Scheduler.With(d.Options)
	s.Steps, s.Guidance = d.Steps, max(d.Guidance[0], request.NoGuidance)
	set(&s.SampleSize, d.Size/8)
}
