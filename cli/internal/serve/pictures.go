package serve

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
)

type pictureInput struct {
	RunRef
	Job   int    `path:"job" minimum:"0" maximum:"10000"`
	Index int    `path:"index" minimum:"0" maximum:"10000"`
	Match string `header:"If-None-Match"`
}

// binary is an answer that is a file.
func binary(op huma.Operation, description string, types ...string) huma.Operation {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	op.Responses = map[string]*huma.Response{"200": {Description: description, Content: content}}
	return op
}

// pictures adds the operations on pictures and previews.
func (a *api) pictures() {
	op := binary(operation("get-picture", http.MethodGet, "/v1/runs/{id}/pictures/{job}/{index}", "Get a picture", "pictures",
		http.StatusNotFound, http.StatusUnprocessableEntity), "the file", "image/png", "image/jpeg", "image/webp")
	op.Responses["304"] = &huma.Response{Description: "it is the one that you have"}
	huma.Register(a.h, op, func(ctx context.Context, in *pictureInput) (*huma.StreamResponse, error) {
		p, file, size, err := a.s.Open(ctx, face.Caller(ctx), in.ID, in.Job, in.Index)
		if err != nil {
			return nil, fail(ctx, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer func() { _ = file.Close() }() // it was only read
			tag := `"` + p.SHA256 + `"`
			c.SetHeader("ETag", tag)
			c.SetHeader("Cache-Control", "private, max-age=31536000, immutable")
			if in.Match == tag {
				c.SetStatus(http.StatusNotModified)
				return
			}
			c.SetHeader("Content-Type", "image/"+p.Format)
			c.SetHeader("Content-Length", strconv.FormatInt(size, 10))
			c.SetHeader("Content-Disposition", `inline; filename="`+face.FileName(in.ID, p)+`"`)
			_, _ = io.Copy(c.BodyWriter(), file) // the client may have gone
		}}, nil
	})
	huma.Register(a.h, operation("get-manifest", http.MethodGet, "/v1/runs/{id}/pictures/{job}/{index}/manifest",
		"Get what a picture was made with", "pictures", http.StatusNotFound, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *pictureInput) (*struct{ Body json.RawMessage }, error) {
			m, err := a.s.Manifest(ctx, face.Caller(ctx), in.ID, in.Job, in.Index)
			if err != nil {
				return nil, fail(ctx, err)
			}
			return &struct{ Body json.RawMessage }{m}, nil
		})
	preview := binary(operation("get-preview", http.MethodGet, "/v1/runs/{id}/preview", "Get the last preview of a run", "pictures",
		http.StatusNotFound), "a JPEG file", "image/jpeg")
	huma.Register(a.h, preview, func(ctx context.Context, in *RunRef) (*fileOutput, error) {
		data, number, err := a.s.Preview(ctx, face.Caller(ctx), in.ID)
		if err != nil {
			return nil, fail(ctx, err)
		}
		return &fileOutput{Type: "image/jpeg", Tag: `"` + number + `"`, Cache: "no-store", Body: data}, nil
	})
}

type fileOutput struct {
	Type  string `header:"Content-Type"`
	Tag   string `header:"ETag"`
	Cache string `header:"Cache-Control"`
	Body  []byte
}
