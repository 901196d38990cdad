package studio

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Adapter is what an adapter's header tells of it.
type Adapter struct {
	Name         string               `json:"name"`
	Title        string               `json:"title,omitempty"`
	Author       string               `json:"author,omitempty"`
	Description  string               `json:"description,omitempty"`
	License      string               `json:"license,omitempty"`
	BaseModel    string               `json:"base_model,omitempty" doc:"that it was made for, as its file says"`
	TriggerWords []string             `json:"trigger_words" doc:"what to write into the prompt"`
	Algorithms   []adapters.Algorithm `json:"algorithms"`
	Ranks        []int                `json:"ranks,omitempty"`
	Bytes        int64                `json:"bytes" doc:"of the file"`
	Applies      string               `json:"applies" doc:"how much of the file fits SDXL"`
	Warnings     []string             `json:"warnings,omitempty"`
}

// Adapter reads the header of an adapter. A name that is not there and a file that is no adapter are Problems.
func (s *Studio) Adapter(name string) (Adapter, error) {
	names, err := s.Files(catalog.LoRA)
	if err != nil {
		return Adapter{}, err
	}
	if !slices.Contains(names, name) {
		return Adapter{}, &Problem{Kind: NotFound, Code: "not_found", Message: "there is no such adapter; GET /v1/catalog/adapters lists them"}
	}
	r, err := s.o.Catalog().Adapter(name)
	if err != nil {
		return Adapter{}, &Problem{Kind: Invalid, Code: string(service.CodeBadFile), Message: s.o.Catalog().Hide(err.Error())}
	}
	o := r.Origin
	return Adapter{Name: name, Title: o.Title, Author: o.Author, Description: o.Description, License: o.License, BaseModel: o.BaseModel,
		TriggerWords: slices.Concat([]string{}, o.TriggerWords), Algorithms: slices.Sorted(maps.Keys(r.Algorithms)), Ranks: r.Ranks,
		Bytes: r.Size, Applies: r.Summary(), Warnings: r.Warnings}, nil
}

// ControlUnit reads what ControlMap is to make a map of: an entry of controlnet as in a run. Its picture is a data URL or an upload.
func (s *Studio) ControlUnit(ctx context.Context, c Caller, unit json.RawMessage) (request.ControlNet, error) {
	body, err := json.Marshal(map[string]any{"prompt": "map", "controlnet": []json.RawMessage{unit}})
	if err != nil {
		return request.ControlNet{}, &Problem{Kind: Malformed, Code: string(service.CodeInvalid), Message: "this is no JSON: " + err.Error()}
	}
	run, err := request.DecodeJSON(body)
	if err != nil {
		return request.ControlNet{}, invalid(err)
	}
	net := run.Jobs[0].ControlNets[0]
	if net.Image.Data != nil {
		return net, nil
	}
	id, ok := strings.CutPrefix(net.Image.Path, catalog.UploadScheme)
	if !ok || !catalog.IsUpload(id) {
		return net, invalid(request.Errors{{Path: "image",
			Message: "give the bytes as a data URL, or upload the file and write upload: and its id"}})
	}
	if err := s.known(ctx, c, "image", net.Image.Path); err != nil {
		return net, err
	}
	data, err := s.o.Store.Get(ctx, dispatch.UploadKey(c.Owner, id))
	net.Image = request.Picture{Data: data}
	return net, explain(err)
}
