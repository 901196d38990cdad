package openai

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func (f *server) generate(w http.ResponseWriter, r *http.Request) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return unreadable(err)
	}
	body, err := readObject(data)
	if err != nil {
		return unreadable(err)
	}
	a := newAsked()
	a.take(body)
	return f.answer(w, r, a, "image_generation")
}

// wireUsage is what OpenAI's clients expect to be counted. No tokens are counted here.
type wireUsage struct {
	Input   int        `json:"input_tokens"`
	Output  int        `json:"output_tokens"`
	Total   int        `json:"total_tokens"`
	Details wireTokens `json:"input_tokens_details"`
}

type wireTokens struct {
	Image int `json:"image_tokens"`
	Text  int `json:"text_tokens"`
}

type wireImage struct {
	B64  string `json:"b64_json,omitempty"`
	URL  string `json:"url,omitempty"`
	Seed int64  `json:"seed"`
}

type wireImages struct {
	Created    int64       `json:"created"`
	Data       []wireImage `json:"data"`
	Background string      `json:"background"`
	Format     string      `json:"output_format"`
	Quality    string      `json:"quality,omitempty"`
	Size       string      `json:"size,omitempty"`
	Usage      wireUsage   `json:"usage"`
	Run        string      `json:"run"` // its id in the own API
	Warnings   []string    `json:"warnings,omitempty"`
}

// finish completes the run, once all fields are known.
func (a *asked) finish(f *server) error {
	a.readPrompt()
	name, _ := a.run["model"].(string)
	var err error
	if a.model, err = f.find(name); err != nil {
		return err
	}
	a.run["model"] = a.model.Name
	_, steps := a.run["num_inference_steps"]
	_, steps2 := a.run["steps"]
	if many := qualities[a.quality]; many > 0 && many != 1 && !steps && !steps2 {
		a.run["num_inference_steps"] = min(max(int(math.Round(float64(a.steps())*many)), 1), request.MaxSteps)
	}
	switch {
	case a.percent < 0:
	case a.format == "jpeg":
		a.run["quality"] = max(a.percent, 1)
	default:
		a.warn("output_compression does nothing: %s files are lossless here", a.format)
	}
	if a.partial > 0 && !a.stream {
		a.warn("partial_images does nothing without stream")
	}
	if a.stream && a.wantsURL {
		a.errs.Add("response_format", "is url; pictures that are streamed come as b64_json")
	}
	if err := a.errs.Err(); err != nil {
		return &studio.Problem{Kind: studio.Invalid, Code: string(service.CodeInvalid), Message: err.Error(), Fields: a.errs}
	}
	return nil
}

// steps is how many steps a picture has.
func (a *asked) steps() int {
	for _, key := range []string{"num_inference_steps", "steps"} {
		switch n := a.run[key].(type) {
		case int:
			return n
		case json.Number:
			if steps, err := n.Int64(); err == nil {
				return int(min(max(steps, 1), request.MaxSteps))
			}
		}
	}
	if n := a.model.Defaults.NumInferenceSteps; n > 0 {
		return n
	}
	return request.DefaultNumInferenceSteps
}

// answer submits what was asked for, and writes the answer. kind begins the names of events.
func (f *server) answer(w http.ResponseWriter, r *http.Request, a *asked, kind string) error {
	if err := a.finish(f); err != nil {
		return err
	}
	body, err := json.Marshal(a.run)
	if err != nil {
		return err
	}
	sub := studio.Submission{Body: body, Key: r.Header.Get("Idempotency-Key"), Format: a.format, Source: "openai"}
	if a.stream && a.partial > 0 {
		sub.Previews = max(a.steps()/(a.partial+1), 1)
	}
	ctx := r.Context()
	run, _, err := f.s.Submit(ctx, face.Caller(ctx), sub)
	if err != nil {
		return err
	}
	w.Header().Set("Daguerre-Run", run.ID)
	if a.stream {
		return f.stream(w, r, a, run, kind, sub.Key != "")
	}
	run, warnings, err := face.Await(ctx, f.s, run, sub.Key != "", nil)
	if err == nil {
		err = face.Failure(run)
	}
	if err != nil {
		return err
	}
	out := wireImages{Created: time.Now().Unix(), Background: "opaque", Format: a.format, Quality: a.spokenQuality(), Size: a.size(),
		Run: run.ID, Warnings: append(a.warnings, warnings...), Data: []wireImage{}}
	if err := f.fill(r, a, run, &out); err != nil {
		return err
	}
	face.WarnIn(w.Header(), out.Warnings)
	face.WriteJSON(w, http.StatusOK, out)
	return nil
}

// fill puts the pictures into an answer.
func (f *server) fill(r *http.Request, a *asked, run studio.Run, out *wireImages) error {
	if a.wantsURL {
		for _, p := range run.Pictures {
			out.Data = append(out.Data, wireImage{URL: base(r) + face.PictureURL(run.ID, p.Job, p.Index), Seed: p.Seed})
		}
		return nil
	}
	files, err := face.Files(r.Context(), f.s, run)
	for _, file := range files {
		out.Data = append(out.Data, wireImage{B64: base64.StdEncoding.EncodeToString(file.Data), Seed: file.Seed})
	}
	return err
}

// base is how the client reaches this server.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// spokenQuality is the quality as answers name it; "" where they have no word for it.
func (a *asked) spokenQuality() string {
	switch a.quality {
	case "low", "medium", "high", "xhigh", "max":
		return a.quality
	}
	return ""
}

// size is the size that was asked for; "" where it is the model's.
func (a *asked) size() string {
	w, ok := a.run["width"].(int)
	h, ok2 := a.run["height"].(int)
	if !ok || !ok2 {
		return ""
	}
	return strconv.Itoa(w) + "x" + strconv.Itoa(h)
}
