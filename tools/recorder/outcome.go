package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // previews of the worker
	_ "image/png"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/daguerre-go/daguerre/cli/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
)

// picture is what one picture is recorded as.
type picture struct {
	job           string // label
	index         int
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	Seed          int64  `json:"seed"`
	Pixels        string `json:"pixels"`
	Latents       string `json:"latents,omitempty"`
	indeterminate bool   // it depends on time: a change came in the middle of it
}

// outcome is what came out of one face.
type outcome struct {
	pictures []picture
	batches  map[string][]int // sizes by label, or by "" for all jobs together
	warnings []string
	others   table // entries: manifests, hashes of previews, and the decision about memory
	peak     int64 // most resident bytes; 0: not known
	err      error
}

// outcome begins the outcome of a face.
func (r *run) outcome(face string) *outcome {
	o := &outcome{batches: map[string][]int{}, others: table{}}
	r.outcomes[face] = o
	return o
}

// event is what is read of an event of the command line or, with an ID, of the worker.
type event struct {
	ID, Event, Path, Message, Stage      string
	Job, Index, Size, Step, Steps, Batch int
	Seed                                 int64
	Data                                 []byte // base64, the worker's only
}

// take takes over what an event of a face tells.
func (o *outcome) take(r *run, face string, e event) error {
	label := ""
	if e.Job < len(r.jobs) {
		label = r.jobs[e.Job].label
	}
	switch {
	case e.Event == "warning":
		o.warnings = append(o.warnings, e.Message)
	case e.Event == "batch":
		o.batches[""] = append(o.batches[""], e.Size)
	case e.Event == "progress" && face == "worker" && len(r.jobs) == 1 && e.Stage == "denoise" && e.Step == e.Steps:
		o.batches[label] = append(o.batches[label], e.Batch) // several jobs are queued while the first ones run
	case e.Event == "preview" && face == "worker":
		img, _, err := image.Decode(bytes.NewReader(e.Data))
		if err != nil {
			return err
		}
		o.others[previewKey(label, e.Index, e.Step)] = hashPixels(img)
	case e.Event == "image":
		return o.takePicture(r, face, label, e)
	}
	return nil
}

func previewKey(label string, index, step int) string {
	return fmt.Sprintf("%s/preview-%d-step-%d", label, index, step)
}

// takePicture takes over a picture that was written, and sent by the worker.
func (o *outcome) takePicture(r *run, face, label string, e event) error {
	file, err := os.ReadFile(e.Path)
	if err != nil {
		return err
	}
	if face == "worker" && !bytes.Equal(file, e.Data) {
		return fmt.Errorf("%s differs from what was sent", e.Path)
	}
	img, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return err
	}
	latents, err := npy.ReadFile(r.latentsFile(face, e.Job))
	if err != nil {
		return err
	}
	n := len(latents.Data) / latents.Shape[0]
	p := pictureOf(img, latents.Data[e.Index*n:][:n])
	p.job, p.index, p.Seed = label, e.Index, e.Seed
	p.indeterminate = face == "worker" && r.Live != nil && r.Live.Step > 0 && e.Index == 0
	o.pictures = append(o.pictures, p)
	if e.Index == 0 {
		o.others[label+"/manifest"], err = manifestOf(file)
	}
	return err
}

// pictureOf begins a picture's record.
func pictureOf(img image.Image, latents []float32) picture {
	size := img.Bounds().Size()
	return picture{Width: size.X, Height: size.Y, Pixels: hashPixels(img), Latents: hashFloats(latents)}
}

// manifestOf reads the manifest out of a PNG file: the text daguerre. What changes with the program's version is left out.
func manifestOf(file []byte) (json.RawMessage, error) {
	texts, err := imagefile.ReadText(file)
	i := slices.IndexFunc(texts, func(t imagefile.Text) bool { return t.Keyword == "daguerre" })
	if err != nil || i < 0 {
		return nil, errors.Join(errors.New("the PNG file has no manifest"), err)
	}
	var m table
	if err := json.Unmarshal([]byte(texts[i].Value), &m); err != nil {
		return nil, err
	}
	for _, key := range []string{"version", "engine", "library", "go", "software"} {
		delete(m, key)
	}
	return json.Marshal(m)
}

// addEntries adds all that is recorded of an outcome.
func (o *outcome) addEntries(to entries, name, face string) error {
	all := maps.Clone(o.others)
	for _, p := range o.pictures {
		if !p.indeterminate {
			all[fmt.Sprintf("%s/picture-%d", p.job, p.index)] = p
		}
	}
	for label, sizes := range o.batches {
		all[path.Join(label, "batches")] = sizes
	}
	if len(o.warnings) > 0 {
		all["warnings"] = slices.Sorted(slices.Values(o.warnings))
	}
	if o.err != nil {
		all["error"] = o.err.Error()
	}
	var err error
	for key, value := range all {
		err = errors.Join(err, to.add(value, name, face, key))
	}
	return err
}
