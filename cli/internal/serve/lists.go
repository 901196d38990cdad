package serve

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

type (
	namesOutput struct {
		Body struct {
			Names []string `json:"names"`
		}
	}
	stylesInput struct {
		Model string `query:"model" maxLength:"200" doc:"whose styles; the first model where it is left out"`
	}
	styleInfo struct {
		Name     string `json:"name" doc:"what to write in styles"`
		Prompt   string `json:"prompt" doc:"added to the prompt, which takes the place of {prompt}"`
		Negative string `json:"negative_prompt"`
	}
	schedulerInfo struct {
		Name    string   `json:"name"`
		Aliases []string `json:"aliases"`
	}
	uploadOutput struct {
		Body struct {
			ID  string `json:"id" doc:"SHA-256 of the file"`
			Ref string `json:"ref" doc:"what to write in a run: upload: and the id"`
		}
	}
)

// lists adds the operations that tell what there is, and what else belongs to no run.
func (a *api) lists(maxBody int64) {
	type models struct {
		Body struct {
			Models []studio.Model `json:"models" doc:"a run that names none uses the first"`
		}
	}
	huma.Register(a.h, operation("list-server-models", http.MethodGet, "/v1/catalog/models", "List models", "catalog"),
		func(context.Context, *struct{}) (*models, error) {
			out := &models{}
			out.Body.Models = a.s.Models()
			return out, nil
		})
	for path, kind := range map[string]catalog.Kind{"adapters": catalog.LoRA, "controlnets": catalog.Net, "ip-adapters": catalog.IPAdapter,
		"embeddings": catalog.Embedding,
		"vaes":       catalog.VAE, "refiners": catalog.Refiner, "upscalers": catalog.Upscaler,
		"detectors": catalog.Detector} {
		huma.Register(a.h, operation("list-"+path, http.MethodGet, "/v1/catalog/"+path, "List "+path, "catalog"),
			func(ctx context.Context, _ *struct{}) (*namesOutput, error) {
				names, err := a.s.Files(kind)
				if err != nil {
					return nil, fail(ctx, err)
				}
				out := &namesOutput{}
				out.Body.Names = names
				return out, nil
			})
	}
	type styles struct {
		Body struct {
			Styles []styleInfo `json:"styles"`
		}
	}
	huma.Register(a.h, operation("list-styles", http.MethodGet, "/v1/catalog/styles", "List styles of prompts", "catalog",
		http.StatusNotFound), func(ctx context.Context, in *stylesInput) (*styles, error) {
		list, err := a.s.Styles(in.Model)
		if err != nil {
			return nil, fail(ctx, err)
		}
		out := &styles{}
		out.Body.Styles = []styleInfo{}
		for _, s := range list {
			out.Body.Styles = append(out.Body.Styles, styleInfo(s))
		}
		return out, nil
	})
	type schedulers struct {
		Body struct {
			Schedulers []schedulerInfo `json:"schedulers"`
		}
	}
	huma.Register(a.h, operation("list-schedulers", http.MethodGet, "/v1/catalog/schedulers", "List schedulers", "catalog"),
		func(context.Context, *struct{}) (*schedulers, error) {
			out := &schedulers{}
			for _, name := range scheduler.Names() {
				info := schedulerInfo{Name: name, Aliases: []string{}}
				if d, err := scheduler.Describe(name); err == nil {
					info.Aliases = append(info.Aliases, d.Aliases...)
				}
				out.Body.Schedulers = append(out.Body.Schedulers, info)
			}
			return out, nil
		})
	type preprocessors struct {
		Body struct {
			Preprocessors []service.Preprocessor `json:"preprocessors"`
		}
	}
	huma.Register(a.h, operation("list-preprocessors", http.MethodGet, "/v1/catalog/preprocessors",
		"List preprocessors of ControlNet pictures",
		"catalog"), func(ctx context.Context, _ *struct{}) (*preprocessors, error) {
		list, err := a.s.Preprocessors()
		if err != nil {
			return nil, fail(ctx, err)
		}
		out := &preprocessors{}
		out.Body.Preprocessors = list
		return out, nil
	})
	type devices struct {
		Body struct {
			Devices []backend.Device `json:"devices"`
		}
	}
	huma.Register(a.h, operation("list-devices", http.MethodGet, "/v1/devices", "List devices", "server"),
		func(ctx context.Context, _ *struct{}) (*devices, error) {
			list, err := a.s.Devices(ctx)
			if err != nil {
				return nil, fail(ctx, err)
			}
			out := &devices{}
			out.Body.Devices = list
			return out, nil
		})
	plan := operation("plan-run", http.MethodPost, "/v1/plan", "Plan the memory of a run", "server", http.StatusUnprocessableEntity,
		http.StatusRequestEntityTooLarge)
	plan.MaxBodyBytes, plan.SkipValidateBody, plan.RequestBody = maxBody, true, runBody(a.h)
	huma.Register(a.h, plan, func(ctx context.Context, in *struct {
		RawBody []byte `contentType:"application/json"`
	}) (*struct{ Body pipeline.MemoryPlan }, error) {
		p, err := a.s.Plan(ctx, face.Caller(ctx), in.RawBody)
		if err != nil {
			return nil, fail(ctx, err)
		}
		return &struct{ Body pipeline.MemoryPlan }{p}, nil
	})
	upload := operation("upload", http.MethodPost, "/v1/uploads", "Upload a picture or an array for runs", "uploads",
		http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
	upload.MaxBodyBytes, upload.DefaultStatus = maxBody, http.StatusCreated
	huma.Register(a.h, upload, func(ctx context.Context, in *struct {
		RawBody []byte `contentType:"application/octet-stream"`
	}) (*uploadOutput, error) {
		id, err := a.s.Upload(ctx, face.Caller(ctx), in.RawBody)
		if err != nil {
			return nil, fail(ctx, err)
		}
		out := &uploadOutput{}
		out.Body.ID, out.Body.Ref = id, catalog.UploadScheme+id
		return out, nil
	})
}
