package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // previews of the worker
	_ "image/png"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
)

// picture is what one picture is recorded as.
type picture struct {
	job     string // label
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Seed    int64  `json:"seed"`
	Pixels  string `json:"pixels"`
	Latents string `json:"latents,omitempty"`
}

// outcome is what came out of one face.
type outcome struct {
	found    table // entries: pictures, manifests, hashes of previews, the decision about memory
	pictures int   // how many; not in found are those that depend on time, since a change came in the middle of them
	warnings []string
	peak     int64 // most resident bytes; 0: not known
	err      error
}

// batch adds the size of a batch of a job, or with "" of all jobs together.
func (o *outcome) batch(label string, size int) {
	key := path.Join(label, "batches")
	sizes, _ := o.found[key].([]int)
	o.found[key] = append(sizes, size)
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
		o.batch("", e.Size)
	case e.Event == "progress" && face == "worker" && len(r.jobs) == 1 && e.Stage == "denoise" && e.Step == e.Steps:
		o.batch(label, e.Batch) // several jobs are queued while the first ones run
	case e.Event == "preview" && face == "worker":
		img, _, err := image.Decode(bytes.NewReader(e.Data))
		if err != nil {
			return err
		}
		o.found[previewKey(label, e.Index, e.Step)] = hashPixels(img)
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
	p := pictureOf(img, e.Seed, latents.Data[e.Index*n:][:n])
	err = o.add(label, e.Index, p, func() (json.RawMessage, error) { return manifestOf(file) })
	if face == "worker" && r.Live != nil && r.Live.Step > 0 {
		delete(o.found, label+"/picture-0")
	}
	return err
}

// add adds a picture, and the manifest of a job's first one.
func (o *outcome) add(label string, index int, p picture, manifest func() (json.RawMessage, error)) (err error) {
	o.pictures++
	p.job = label
	o.found[fmt.Sprintf("%s/picture-%d", label, index)] = p
	if index == 0 {
		o.found[label+"/manifest"], err = manifest()
	}
	return err
}

func pictureOf(img image.Image, seed int64, latents []float32) picture {
	size := img.Bounds().Size()
	return picture{Width: size.X, Height: size.Y, Seed: seed, Pixels: hashPixels(img), Latents: hashFloats(latents)}
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
func (o *outcome) addEntries(to entries, name, face string) (err error) {
	if len(o.warnings) > 0 {
		o.found["warnings"] = slices.Sorted(slices.Values(o.warnings))
	}
	if o.err != nil {
		o.found["error"] = o.err.Error()
	}
	for key, value := range o.found {
		err = errors.Join(err, to.add(value, name, face, key))
	}
	return err
}

// hashBytes is a hash short enough to read.
func hashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// hashPixels hashes a picture's pixels, whatever their form in memory.
func hashPixels(img image.Image) string {
	b := img.Bounds()
	flat := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Bounds(), img, b.Min, draw.Src)
	return hashBytes(flat.Pix)
}

// hashFloats hashes numbers by their bits.
func hashFloats(data []float32) string {
	var raw bytes.Buffer
	_ = binary.Write(&raw, binary.LittleEndian, data) // to memory
	return hashBytes(raw.Bytes())
}

// hashTree hashes a file, or all files of a folder.
func hashTree(path string) (string, error) {
	files, err := os.ReadDir(path)
	if err != nil {
		data, err := os.ReadFile(path)
		return hashBytes(data), err
	}
	var all []string
	for _, f := range files {
		hash, hashErr := hashTree(path + "/" + f.Name())
		all, err = append(all, f.Name(), hash), errors.Join(err, hashErr)
	}
	return hashBytes([]byte(strings.Join(all, "\n"))), err
}
