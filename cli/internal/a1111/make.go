package a1111

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	_ "image/jpeg" // the sizes of pictures are read from their files
	_ "image/png"
	"net/http"

	_ "golang.org/x/image/webp" // as the formats above

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func (f *server) textToImage(r *http.Request, t *told) (any, error) { return f.make(r, t, false) }

func (f *server) imageToImage(r *http.Request, t *told) (any, error) { return f.make(r, t, true) }

// wireImages is the answer of txt2img and img2img. Info is JSON in a text.
type wireImages struct {
	Images     []string       `json:"images"`
	Parameters map[string]any `json:"parameters"`
	Info       string         `json:"info"`
}

// wireInfo tells what the pictures were made with. Warnings, Ignored and Run are ours.
type wireInfo struct {
	Prompt          string         `json:"prompt"`
	AllPrompts      []string       `json:"all_prompts"`
	Negative        string         `json:"negative_prompt"`
	AllNegatives    []string       `json:"all_negative_prompts"`
	Seed            int64          `json:"seed"`
	AllSeeds        []int64        `json:"all_seeds"`
	Subseed         int64          `json:"subseed"`
	AllSubseeds     []int64        `json:"all_subseeds"`
	SubseedStrength float64        `json:"subseed_strength"`
	Width           int            `json:"width"`
	Height          int            `json:"height"`
	Sampler         string         `json:"sampler_name"`
	Guidance        float64        `json:"cfg_scale"`
	Steps           int            `json:"steps"`
	Batch           int            `json:"batch_size"`
	RestoreFaces    bool           `json:"restore_faces"`
	Model           string         `json:"sd_model_name"`
	ModelHash       string         `json:"sd_model_hash"`
	VAE             *string        `json:"sd_vae_name"`
	VAEHash         *string        `json:"sd_vae_hash"`
	Strength        *float64       `json:"denoising_strength"`
	Extra           map[string]any `json:"extra_generation_params"`
	First           int            `json:"index_of_first_image"`
	Infotexts       []string       `json:"infotexts"`
	Styles          []string       `json:"styles"`
	Timestamp       string         `json:"job_timestamp"`
	ClipSkip        int            `json:"clip_skip"`
	Interrupted     bool           `json:"interrupted,omitempty"`
	Warnings        []string       `json:"warnings"`
	Ignored         []string       `json:"ignored"`
	Run             string         `json:"run"`
}

// make makes pictures for a client that waits for them.
func (f *server) make(r *http.Request, t *told, fromImage bool) (any, error) {
	a, err := f.ask(r, t, fromImage)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(a.run)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	sub := studio.Submission{Body: body, Key: r.Header.Get("Idempotency-Key"), Format: formatOf(a.settings[setFormat]), Source: source,
		Previews: a.previews()}
	run, _, err := f.s.Submit(ctx, face.Caller(ctx), sub)
	if err != nil {
		return nil, err
	}
	t.run = run.ID
	job := "scripts_txt2img"
	if fromImage {
		job = "scripts_img2img"
	}
	task := f.begin(face.Caller(ctx).Owner, job, run, a)
	defer f.end(task)
	run, warnings, err := face.Await(ctx, f.s, run, sub.Key != "", task.hear)
	if err == nil && !(run.State == durable.Cancelled && task.wasInterrupted()) {
		err = face.Failure(run) // what was interrupted has the pictures that were finished
	}
	if err != nil {
		return nil, err
	}
	t.warnings = append(t.warnings, warnings...)
	files, err := face.Files(ctx, f.s, run)
	if err != nil {
		return nil, err
	}
	return a.answer(run, files, task)
}

// source names this face in the list of runs.
const source = "a1111"

// previews is every how many steps there is a preview; 0: never.
func (a *asked) previews() int {
	every, _ := number(a.settings[setEvery])
	if !flag(a.settings, setPreviews, true) || every < 1 {
		return 0
	}
	return int(min(every, request.MaxSteps))
}

// answer writes what was made.
func (a *asked) answer(run studio.Run, files []face.File, task *task) (any, error) {
	decoded, err := request.DecodeJSON(run.Request)
	if err != nil {
		return nil, err
	}
	job := decoded.Jobs[0]
	info := wireInfo{Prompt: clean(job.Prompt), Negative: clean(job.NegativePrompt), Seed: job.Seed, Width: job.Width, Height: job.Height,
		Sampler: job.Scheduler, Guidance: job.GuidanceScale, Steps: job.NumInferenceSteps, Batch: task.batch, Model: run.Model,
		ClipSkip: max(job.ClipSkip, 1), Extra: map[string]any{}, Infotexts: []string{}, Styles: append([]string{}, job.Styles...),
		Timestamp:   task.timestamp(),
		Interrupted: task.wasInterrupted(), Ignored: a.ignored, Run: run.ID, AllSeeds: []int64{}, AllPrompts: []string{},
		AllNegatives: []string{}, AllSubseeds: []int64{}}
	if job.Strength > 0 {
		info.Strength = &job.Strength
	}
	out := wireImages{Images: []string{}, Parameters: a.parameters}
	send := flag(a.parameters, "send_images", true)
	for i, file := range files {
		text := infotext(file.Data)
		if i == 0 {
			info.complete(file.Data, text)
		}
		if text == "" && file.Format != "png" && i == 0 {
			a.warn("%s files carry no settings: infotexts are empty", file.Format)
		}
		info.Infotexts = append(info.Infotexts, text)
		info.AllSeeds = append(info.AllSeeds, file.Seed)
		info.AllSubseeds = append(info.AllSubseeds, 0)
		prompt, negative := info.Prompt, info.Negative
		if made := recall.Infotext(text); made["Steps"] != "" { // what styles and wildcards have made of them
			prompt, negative = made["Prompt"], made["Negative prompt"]
		}
		info.AllPrompts, info.AllNegatives = append(info.AllPrompts, prompt), append(info.AllNegatives, negative)
		if send {
			out.Images = append(out.Images, base64.StdEncoding.EncodeToString(file.Data))
		}
	}
	if !flag(a.parameters, "include_init_images", false) {
		delete(a.parameters, "init_images")
		delete(a.parameters, "mask")
	}
	info.Warnings = append([]string{}, a.warnings...)
	if info.Ignored == nil {
		info.Ignored = []string{}
	}
	text, err := json.Marshal(info)
	out.Info = string(text)
	return out, err
}

// clean is a prompt as A1111 writes it: none is an empty text.
func clean(prompt string) string {
	if prompt == request.NoPrompt {
		return ""
	}
	return prompt
}

// complete takes what the request left to the model from the picture that was made.
func (i *wireInfo) complete(file []byte, text string) {
	if size, _, err := image.DecodeConfig(bytes.NewReader(file)); err == nil {
		i.Width, i.Height = size.Width, size.Height
	}
	made := recall.Infotext(text)
	for key, to := range map[string]any{"Steps": &i.Steps, "CFG scale": &i.Guidance} {
		if v := made[key]; v != "" {
			_ = json.Unmarshal([]byte(v), to) // what is no number stays as it was asked for
		}
	}
	if v := made["Sampler"]; v != "" {
		i.Sampler = v
	}
	i.ModelHash = made["Model hash"]
}

// infotext is the text of a PNG file that tells how it was made; "": it has none.
func infotext(file []byte) string {
	texts, err := imagefile.ReadText(file)
	if err != nil {
		return ""
	}
	for _, t := range texts {
		if t.Keyword == "parameters" {
			return t.Value
		}
	}
	return ""
}

// timestamp is when a task was begun, as A1111 writes it.
func (t *task) timestamp() string { return t.began.Format("20060102150405") }
