package serve

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The inputs and outputs of operations on runs.
type (
	submitInput struct {
		Key      string  `header:"Idempotency-Key" maxLength:"255" doc:"a text of yours; a second submission with it returns the first run"`
		Priority int     `query:"priority" minimum:"-10" maximum:"10" doc:"higher goes first"`
		Deadline float64 `query:"deadline_seconds" minimum:"0" maximum:"31536000" doc:"what is not finished after this time fails; 0: none"`
		Format   string  `query:"format" enum:"png,jpeg,webp" doc:"of the pictures; else as output in the run says, else png"`
		Previews int     `query:"previews" minimum:"0" maximum:"1000" doc:"a preview every so many steps; 0: none"`
		Type     string  `header:"Content-Type"`
		RawBody  []byte  `contentType:"application/json"`
	}
	runOutput struct {
		Location string `header:"Location"`
		Body     studio.Run
	}
	// RunRef names a run. It is exported because huma reads embedded structs only then.
	RunRef struct {
		ID string `path:"id" maxLength:"64" doc:"of the run"`
	}
	listInput struct {
		State string `query:"state" doc:"of these states only, with commas between: queued, running, done, failed, cancelled"`
		After string `query:"after" maxLength:"64" doc:"next of the page before, or the id of its last run"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	listOutput struct {
		Body struct {
			Runs []studio.Run `json:"runs" doc:"the newest first"`
			Next string       `json:"next,omitempty" doc:"after, for the next page"`
		}
	}
	priorityInput struct {
		RunRef
		Body struct {
			Priority int `json:"priority" minimum:"-10" maximum:"10"`
		}
	}
	adaptInput struct {
		RunRef
		Name string `path:"name" maxLength:"200" doc:"of the adapter"`
		Body struct {
			Job     *int     `json:"job,omitempty" minimum:"0" maximum:"10000" doc:"of the run; the first where it is left out"`
			Weight  *float64 `json:"weight,omitempty" minimum:"-100" maximum:"100"`
			UNet    *float64 `json:"unet_weight,omitempty" minimum:"-100" maximum:"100"`
			Text    *float64 `json:"text_encoder_weight,omitempty" minimum:"-100" maximum:"100"`
			Enabled *bool    `json:"enabled,omitempty"`
		}
	}
)

// runs adds the operations on runs.
func (a *api) runs(maxBody int64) {
	submit := operation("submit-run", http.MethodPost, "/v1/runs", "Submit a run", "runs", http.StatusConflict,
		http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge)
	submit.DefaultStatus, submit.MaxBodyBytes, submit.SkipValidateBody = http.StatusAccepted, maxBody, true
	submit.Description = "The run is kept on disk when the answer comes. A TOML run file can be sent as application/toml."
	submit.RequestBody = runBody(a.h)
	huma.Register(a.h, submit, a.submit)
	huma.Register(a.h, operation("list-runs", http.MethodGet, "/v1/runs", "List runs", "runs", http.StatusUnprocessableEntity), a.list)
	huma.Register(a.h, operation("get-run", http.MethodGet, "/v1/runs/{id}", "Get a run with its pictures", "runs", http.StatusNotFound),
		func(ctx context.Context, in *RunRef) (*runOutput, error) {
			return output(ctx)(a.s.Get(ctx, face.Caller(ctx), in.ID))
		})
	huma.Register(a.h, operation("cancel-run", http.MethodPost, "/v1/runs/{id}/cancel", "Cancel a run", "runs", http.StatusNotFound,
		http.StatusConflict), func(ctx context.Context, in *RunRef) (*runOutput, error) {
		return output(ctx)(a.s.Cancel(ctx, face.Caller(ctx), in.ID))
	})
	huma.Register(a.h, operation("resubmit-run", http.MethodPost, "/v1/runs/{id}/resubmit", "Submit a failed run again", "runs",
		http.StatusNotFound, http.StatusConflict), func(ctx context.Context, in *RunRef) (*runOutput, error) {
		return output(ctx)(a.s.Resubmit(ctx, face.Caller(ctx), in.ID))
	})
	remove := operation("delete-run", http.MethodDelete, "/v1/runs/{id}", "Delete a run that has ended, with its pictures", "runs",
		http.StatusNotFound, http.StatusConflict)
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(a.h, remove, func(ctx context.Context, in *RunRef) (*struct{}, error) {
		return nil, fail(ctx, a.s.Remove(ctx, face.Caller(ctx), in.ID))
	})
	huma.Register(a.h, operation("set-priority", http.MethodPatch, "/v1/runs/{id}", "Change the priority of a run that waits", "runs",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *priorityInput) (*runOutput, error) {
			return output(ctx)(a.s.Prioritize(ctx, face.Caller(ctx), in.ID, in.Body.Priority))
		})
	huma.Register(a.h, operation("set-adapter", http.MethodPatch, "/v1/runs/{id}/adapters/{name}",
		"Change an adapter of a run that has not ended", "runs", http.StatusNotFound, http.StatusConflict,
		http.StatusUnprocessableEntity), a.adapt)
	a.events()
}

// output makes an answer of a run.
func output(ctx context.Context) func(studio.Run, error) (*runOutput, error) {
	return func(r studio.Run, err error) (*runOutput, error) {
		if err != nil {
			return nil, fail(ctx, err)
		}
		for i := range r.Pictures {
			r.Pictures[i].URL = face.PictureURL(r.ID, r.Pictures[i].Job, r.Pictures[i].Index)
		}
		return &runOutput{Location: "/v1/runs/" + r.ID, Body: r}, nil
	}
}

func (a *api) submit(ctx context.Context, in *submitInput) (*runOutput, error) {
	body := in.RawBody
	if strings.HasPrefix(in.Type, "application/toml") {
		run, err := request.DecodeTOML(body)
		if err == nil {
			body, err = run.EncodeJSON(request.SnakeCase)
		}
		if err != nil {
			return nil, fail(ctx, &studio.Problem{Kind: studio.Invalid, Code: string(service.CodeInvalid), Message: err.Error(),
				Fields: fieldsOf(err)})
		}
	}
	run, _, err := a.s.Submit(ctx, face.Caller(ctx), studio.Submission{Body: body, Key: in.Key, Priority: in.Priority,
		Deadline: time.Duration(in.Deadline * float64(time.Second)), Format: in.Format, Previews: in.Previews, Source: "runs"})
	return output(ctx)(run, err)
}

func (a *api) list(ctx context.Context, in *listInput) (*listOutput, error) {
	var states []durable.State
	for _, text := range strings.FieldsFunc(in.State, func(r rune) bool { return r == ',' }) {
		states = append(states, durable.State(text))
	}
	out := &listOutput{}
	out.Body.Runs, out.Body.Next = a.s.List(face.Caller(ctx), states, in.After, in.Limit)
	return out, nil
}

func (a *api) adapt(ctx context.Context, in *adaptInput) (*runOutput, error) {
	b := in.Body
	return output(ctx)(a.s.Adapt(ctx, face.Caller(ctx), in.ID, service.Change{Name: in.Name, Job: b.Job, Weight: b.Weight, UNet: b.UNet,
		Text: b.Text, Enabled: b.Enabled}))
}
