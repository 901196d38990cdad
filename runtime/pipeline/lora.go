package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// adapters is what a pipeline has for LoRA: where the files are, and those that are resident. cache is nil where the backend
// applies none.
type adapters struct {
	library *lora.Library
	cache   *lora.Cache
	hashes  loraHashes
}

func newAdapters(cfg Config, m backend.Model) (*adapters, error) {
	a := &adapters{library: lora.NewLibrary(cfg.LoRADirectories...)}
	loader, ok := m.(backend.LoRAModel)
	if !ok {
		return a, nil
	}
	var err error
	a.cache, err = lora.NewCache(loader, lora.NewModel(loader.Modules()), cfg.LoRACache)
	return a, err
}

func (a *adapters) close() error {
	if a.cache == nil {
		return nil
	}
	return a.cache.Close()
}

// LoRAStats tells what the cache of adapters did since the pipeline was opened.
func (p *Pipeline) LoRAStats() lora.Stats {
	if p.adapters.cache == nil {
		return lora.Stats{}
	}
	return p.adapters.cache.Stats()
}

// cacheConfigOf turns the [model.lora_cache] table into a lora.CacheConfig.
func cacheConfigOf(c request.LoRACache) lora.CacheConfig {
	return lora.CacheConfig{MemoryLimit: int64(c.MemoryLimitMB) << 20, Size: c.CacheSize, CleanupThreshold: c.CleanupThreshold,
		IdleTime: time.Duration(c.IdleSeconds) * time.Second}
}

// loraStack is a request's adapters: its [[lora]] tables, and the tags of its prompts.
type loraStack struct {
	lora.Stack
	paths map[string]string // by lower-case label, of the enabled ones
}

// stackOf collects a request's adapters and looks up their files. A tag in a prompt sets the weights of the table of the same
// name, or stands for one; its name is looked up in the folders only. All mistakes are added to errs.
func stackOf(r request.Request, library *lora.Library, at func(string) string, errs *request.Errors) loraStack {
	s := loraStack{StackOf(r), map[string]string{}}
	tagged := s.addTags(r, at, errs)
	var fields lora.FieldErrors
	if errors.As(s.Validate(), &fields) {
		for _, f := range fields {
			errs.Add(at(f.Field), "%s", f.Message)
		}
		return s
	}
	for i, a := range s.Adapters {
		if !a.Enabled {
			continue
		}
		var path string
		var err error
		key := fmt.Sprintf("lora[%d].name", i)
		switch {
		case tagged[i] != "":
			key = tagged[i]
			path, err = library.Find(a.Name)
		case a.Path != "":
			key = fmt.Sprintf("lora[%d].path", i)
			path, err = library.Resolve(a.Path)
		default:
			path, err = library.Resolve(a.Name)
		}
		if err != nil {
			errs.Add(at(key), "%v", err)
			continue
		}
		s.paths[strings.ToLower(a.Label())] = path
	}
	return s
}

// StackOf is what a request's [[lora]] and [lora_stack] tables mean, defaults filled in. Tags in prompts are not looked at.
func StackOf(r request.Request) lora.Stack {
	s := lora.NewStack()
	s.MaxAdapters, s.Strict = r.LoRAStack.MaxAdapters, r.LoRAStack.Strict
	s.GlobalWeight, s.GlobalScalingFactor = number(r.LoRAStack.GlobalWeight, 1), number(r.LoRAStack.GlobalScalingFactor, 1)
	for _, l := range r.LoRAs {
		s.Adapters = append(s.Adapters, adapterOf(l))
	}
	return s
}

// adapterOf fills in the defaults of a [[lora]] table.
func adapterOf(l request.LoRA) lora.Adapter {
	a := lora.NewAdapter(l.Name)
	a.Path, a.BlockWeights, a.UNetWeight, a.TextEncoderWeight = l.Path, l.BlockWeights, l.UNetWeight, l.TextEncoderWeight
	a.Weight, a.ScalingFactor, a.Start = number(l.Weight, 1), number(l.ScalingFactor, 1), l.Start
	if l.Enabled != nil {
		a.Enabled = *l.Enabled
	}
	if l.End != 0 {
		a.End = l.End
	}
	return a
}

func number(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}

// prompts lists a request's texts by their keys.
func prompts(r *request.Request) []struct {
	key  string
	text *string
} {
	return []struct {
		key  string
		text *string
	}{{"prompt", &r.Prompt}, {"prompt_2", &r.Prompt2}, {"negative_prompt", &r.NegativePrompt}, {"negative_prompt_2", &r.NegativePrompt2}}
}

// addTags adds the adapters that prompts name; it returns the key of the prompt for each of those that have no table.
func (s *loraStack) addTags(r request.Request, at func(string) string, errs *request.Errors) map[int]string {
	tagged := map[int]string{}
	if r.PromptSyntax == request.SyntaxPlain {
		return tagged
	}
	seen := map[string]prompt.LoRATag{}
	for _, p := range prompts(&r) {
		_, tags, err := prompt.ExtractLoRA(*p.text)
		if err != nil {
			continue // checkPrompts reports it
		}
		for _, tag := range tags {
			name := strings.ToLower(tag.Name)
			if first, twice := seen[name]; twice {
				if first.Weight != tag.Weight || first.TextWeight != tag.TextWeight {
					errs.Add(at(p.key), "names the LoRA %q again with another weight; give it once", tag.Name)
				}
				continue
			}
			seen[name] = tag
			i := slices.IndexFunc(s.Adapters, func(a lora.Adapter) bool { return strings.EqualFold(a.Label(), tag.Name) })
			if i < 0 {
				i = len(s.Adapters)
				s.Adapters = append(s.Adapters, lora.NewAdapter(tag.Name))
				tagged[i] = p.key
			}
			a := &s.Adapters[i]
			a.Weight, a.UNetWeight, a.TextEncoderWeight = tag.Weight, nil, nil
			if tag.TextWeight != tag.Weight {
				a.TextEncoderWeight = new(tag.TextWeight)
			}
		}
	}
	return tagged
}

// withoutTags returns the request with its prompts as the text encoders are to read them.
func withoutTags(r request.Request) request.Request {
	if r.PromptSyntax == request.SyntaxPlain {
		return r
	}
	for _, p := range prompts(&r) {
		if rest, tags, err := prompt.ExtractLoRA(*p.text); err == nil && len(tags) > 0 {
			*p.text = strings.TrimSpace(rest)
		}
	}
	return r
}

// checkLoRAs finds what is wrong with a request's adapters before anything is computed.
func checkLoRAs(r request.Request, library *lora.Library, at func(string) string, errs *request.Errors) {
	s := stackOf(r, library, at, errs)
	if len(s.paths) < len(s.Enabled()) {
		return // reported
	}
	seen := map[string]string{}
	for _, a := range s.Enabled() {
		path := s.path(a)
		if first, twice := seen[path]; twice {
			errs.Add(at("lora"), "%q and %q are the same file, %s; give one entry with the sum of the weights", first, a.Label(), path)
		}
		seen[path] = a.Label()
	}
}
