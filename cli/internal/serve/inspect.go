package serve

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

type (
	adapterInput struct {
		Name string `path:"name" maxLength:"400" doc:"of the adapter, as the list has it; a slash in it is written %2F"`
	}
	mapInput struct {
		Width   int    `query:"width" minimum:"0" maximum:"16384" doc:"of the map; 0: the picture's"`
		Height  int    `query:"height" minimum:"0" maximum:"16384" doc:"of the map; 0: the picture's"`
		RawBody []byte `contentType:"application/json"`
	}
	mapOutput struct {
		Type     string   `header:"Content-Type"`
		Warnings []string `header:"Daguerre-Warning" doc:"what was done with the picture otherwise than you may expect"`
		Body     []byte
	}
)

// inspect adds the operations that tell more of what a run can say: its schema, an adapter, the map that a ControlNet would get.
func (a *api) inspect(maxBody int64) {
	huma.Register(a.h, operation("get-schema", http.MethodGet, "/v1/schema", "Get the JSON Schema of runs", "catalog"),
		func(ctx context.Context, _ *struct{}) (*struct{ Body json.RawMessage }, error) {
			text, err := request.Schema(request.SnakeCase)
			return &struct{ Body json.RawMessage }{text}, fail(ctx, err)
		})
	huma.Register(a.h, operation("get-adapter", http.MethodGet, "/v1/catalog/adapters/{name}", "Tell what an adapter's file says of it",
		"catalog", http.StatusNotFound, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *adapterInput) (*struct{ Body studio.Adapter }, error) {
			info, err := a.s.Adapter(in.Name)
			return &struct{ Body studio.Adapter }{info}, fail(ctx, err)
		})
	op := binary(operation("make-control-map", http.MethodPost, "/v1/controlmap", "Make the map that a ControlNet gets of a picture",
		"catalog", http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge), "the map", "image/png")
	op.Description = "The body is an entry of a run's controlnet. Used are image, preprocessor, preprocessor_options and resize_mode."
	op.MaxBodyBytes, op.SkipValidateBody = maxBody, true
	huma.Register(a.h, op, func(ctx context.Context, in *mapInput) (*mapOutput, error) {
		unit, err := a.s.ControlUnit(ctx, face.Caller(ctx), in.RawBody)
		if err != nil {
			return nil, fail(ctx, err)
		}
		p, warnings, err := a.s.ControlMap(ctx, unit, given(in.Width), given(in.Height))
		if err != nil {
			return nil, fail(ctx, err)
		}
		return &mapOutput{Type: "image/png", Warnings: warnings, Body: p.Data}, nil
	})
}

// given is nil for a number that was not given.
func given(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
