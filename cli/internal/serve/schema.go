package serve

import (
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// runBody is the body of operations that take a run.
func runBody(huma.API) *huma.RequestBody {
	schema := &huma.Schema{Type: huma.TypeObject, Description: "a run: docs/requests.md, and daguerre request schema",
		AdditionalProperties: true,
		Properties: map[string]*huma.Schema{"model": {Type: huma.TypeString}, "prompt": {Type: huma.TypeString},
			"negative_prompt": {Type: huma.TypeString}, "width": {Type: huma.TypeInteger}, "height": {Type: huma.TypeInteger},
			"num_images": {Type: huma.TypeInteger}, "seed": {Type: huma.TypeInteger}, "num_inference_steps": {Type: huma.TypeInteger}}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// fieldsOf are the mistakes that an error lists.
func fieldsOf(err error) request.Errors {
	fields, _ := errors.AsType[request.Errors](err)
	return fields
}
