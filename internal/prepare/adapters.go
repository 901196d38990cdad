package prepare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Adapters are a request's adapters: its [[lora]] tables, and the tags of its prompts.
type Adapters struct {
	lora.Stack
	files map[string]adapterFile // by lower-case label, of the enabled ones
}

// adapterFile is an adapter's file, with its identity when it was found.
type adapterFile struct {
	path string
	id   identity.ID
}

// Path is the file of an enabled adapter.
func (s Adapters) Path(a lora.Adapter) string { return s.files[strings.ToLower(a.Label())].path }

// ID is the file's identity when it was found.
func (s Adapters) ID(a lora.Adapter) identity.ID { return s.files[strings.ToLower(a.Label())].id }

// Resolve is Path, with an error if the file has changed.
func (s Adapters) Resolve(a lora.Adapter) (string, error) {
	f := s.files[strings.ToLower(a.Label())]
	return f.path, f.id.Check(f.path)
}

// adaptersOf collects a request's adapters and looks up their files. A tag in a prompt sets the weights of the table of the same
// name, or stands for one; its name is looked up in the folders only. All mistakes are added to errs.
func adaptersOf(r request.Request, library *library.Library, at func(string) string, errs *request.Errors) Adapters {
	s := Adapters{r.Stack(), map[string]adapterFile{}}
	tagged := s.addTags(r, at, errs)
	var fields lora.FieldErrors
	if errors.As(s.Validate(), &fields) {
		for _, f := range fields {
			errs.Add(at(f.Field), "%s", f.Message)
		}
		return s
	}
	for i, a := range s.Adapters {
		if !*a.Filled().Enabled {
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
			errs.AddFile(at(key), "%v", err)
			continue
		}
		id, err := identity.Of(path)
		if err != nil {
			errs.AddFile(at(key), "%v", err)
			continue
		}
		s.files[strings.ToLower(a.Label())] = adapterFile{path, id}
	}
	return s
}

func number(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}

// keyedText is one of a request's texts.
type keyedText struct {
	key  string
	text *string
}

// prompts lists a request's texts by their keys. They may be changed: the list of regions belongs to this request alone afterwards.
func prompts(r *request.Request) []keyedText {
	list := []keyedText{{"prompt", &r.Prompt}, {"prompt_2", &r.Prompt2}, {"negative_prompt", &r.NegativePrompt},
		{"negative_prompt_2", &r.NegativePrompt2}}
	r.Regions = slices.Clone(r.Regions)
	for i := range r.Regions {
		list = append(list, keyedText{fmt.Sprintf("region[%d].prompt", i), &r.Regions[i].Prompt})
	}
	return list
}

// addTags adds the adapters that prompts name; it returns the key of the prompt for each of those that have no table.
func (s *Adapters) addTags(r request.Request, at func(string) string, errs *request.Errors) map[int]string {
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
		if len(tags) > 0 && strings.HasPrefix(p.key, "region") {
			errs.Add(at(p.key), "names the LoRA %q, and an adapter acts on the whole picture; name it in prompt, or in a [[lora]] table",
				tags[0].Name)
			continue
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
				s.Adapters = append(s.Adapters, lora.Adapter{Name: tag.Name})
				tagged[i] = p.key
			}
			a := &s.Adapters[i]
			a.Weight, a.UNetWeight, a.TextEncoderWeight = new(tag.Weight), nil, nil
			if tag.TextWeight != tag.Weight {
				a.TextEncoderWeight = new(tag.TextWeight)
			}
		}
	}
	return tagged
}

// check finds adapters that stand for one file.
func (s Adapters) check(at func(string) string, errs *request.Errors) {
	if len(s.files) < len(s.Enabled()) {
		return // reported
	}
	seen := map[string]string{}
	for _, a := range s.Enabled() {
		path := s.Path(a)
		if first, twice := seen[path]; twice {
			errs.Add(at("lora"), "%q and %q are the same file, %s; give one entry with the sum of the weights", first, a.Label(), path)
		}
		seen[path] = a.Label()
	}
}
