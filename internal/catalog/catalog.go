// Package catalog knows the models, adapters and other files that the clients of a server may use, by their names. Clients never name a
// path: Check refuses a run that does, and Resolve puts the files of this machine in the place of the names.
package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Options say what is in a Catalog.
type Options struct {
	Models     []string // files, folders, nano, or run files that hold the defaults of a model; "NAME=" may stand before each
	Fetch      []string // models that could be fetched, as in Models: nothing is read of them, and only Listing tells of them
	ModelDirs  []string // folders, all of whose checkpoints are offered
	LoRAs      []string // folders of adapters
	Nets       []string // folders of ControlNets
	IPAdapters []string // folders of IP-Adapters and image encoders
	Embeddings []string // folders of embeddings
	VAEs       []string // folders of VAEs
	Refiners   []string // folders of refiners
	Upscalers  []string // folders of upscalers
	Detectors  []string // folders of detectors
	Wildcards  []string // folders of text files, for __name__ in prompts
	Styles     []string // files of styles, in the form of A1111's styles.csv
}

// Model is a model that clients may name.
type Model struct {
	Name     string
	Defaults request.Defaults // its [model] table, and what its jobs have where a client says nothing
}

// Catalog is what clients may use. Its methods may be called from any goroutine.
type Catalog struct {
	models     []Model
	fetch      []Model // that are not here, but could be fetched
	loras      *library.Library
	nets       *library.Library
	ipAdapters *library.Library
	embeddings *library.Library
	vaes       *library.Library
	refiners   *library.Library
	upscalers  *library.Library
	detectors  *library.Library
	hidden     *strings.Replacer // see Hide

	listed  map[Kind][]string          // of Names; nil: the files are on this machine
	styles  map[string][]phrases.Style // by model, where the files are not here
	clashes atomic.Pointer[Clashes]    // what is not the same on all machines; nil: nothing
}

// Kind is a kind of files that clients may name.
type Kind string

// The kinds.
const (
	LoRA      Kind = "lora"
	Net       Kind = "controlnet"
	IPAdapter Kind = "ip_adapter" // and image encoders
	Embedding Kind = "embedding"
	VAE       Kind = "vae"
	Refiner   Kind = "refiner"
	Upscaler  Kind = "upscaler"
	Detector  Kind = "detector"
)

var weightFiles = []string{".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin"}

// New reads what there is. Models that are not there are an error; files that are added to the folders later are found, but for models.
func New(o Options) (*Catalog, error) {
	weights := func(what string, dirs []string) *library.Library {
		return library.New(library.Options{Directories: dirs, Setting: what + " folders", What: what, Extensions: weightFiles, First: true,
			Folder: modelfile.IsFolder})
	}
	c := &Catalog{loras: adapters.NewLibrary(o.LoRAs...), nets: models.NewNets(o.Nets...),
		ipAdapters: models.NewIPAdapters(o.IPAdapters...),
		embeddings: library.New(library.Options{Directories: o.Embeddings, Setting: "embedding folders", What: "embeddings",
			Extensions: []string{".safetensors", ".pt", ".bin"}, Flat: true, First: true}),
		vaes: weights("VAEs", o.VAEs), refiners: weights("refiners", o.Refiners), upscalers: weights("upscalers", o.Upscalers),
		detectors: models.NewDetectors(o.Detectors...)}
	for _, dirs := range []*library.Library{c.loras, c.nets, c.ipAdapters, c.embeddings, c.vaes, c.refiners, c.upscalers, c.detectors} {
		if _, err := dirs.List(); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, said := range o.Models {
		errs = append(errs, c.add(said, o))
	}
	found, err := weights("models", o.ModelDirs).List()
	errs = append(errs, err)
	for _, f := range found {
		errs = append(errs, c.take(Model{f.Name, request.Defaults{Model: request.Model{Model: f.Path}, Job: request.Default()}}, o))
	}
	for _, said := range o.Fetch {
		m := ModelOf(said)
		err := c.fill(&m, o)
		if c.fetch = append(c.fetch, m); err != nil {
			errs = append(errs, err)
		}
	}
	c.hide(o)
	return c, errors.Join(errs...)
}

// ModelOf is a model as an option names it: a place, or NAME=PLACE. Nothing is read.
func ModelOf(said string) Model {
	name, place, named := strings.Cut(said, "=")
	if !named {
		place, name = said, pipeline.ModelName(filepath.Clean(said))
	}
	return Model{name, request.Defaults{Model: request.Model{Model: place}, Job: request.Default()}}
}

// add adds a model as an option names it.
func (c *Catalog) add(said string, o Options) error {
	m := ModelOf(said)
	name, place := m.Name, m.Defaults.Model.Model
	if ext := strings.ToLower(filepath.Ext(place)); ext == ".toml" || ext == ".json" {
		def, err := request.ReadDefaults(place)
		if err != nil {
			return err
		}
		m.Defaults = def
	}
	run := request.Run{Model: m.Defaults.Model, Jobs: []request.Request{{Prompt: request.NoPrompt}}}
	if err := errors.Join(run.Validate(), pipeline.CheckFiles(run)); err != nil {
		return fmt.Errorf("the model %s: %w", name, err)
	}
	return c.take(m, o)
}

// take adds a model.
func (c *Catalog) take(m Model, o Options) error {
	err := c.fill(&m, o)
	if err == nil {
		c.models = append(c.models, m)
	}
	return err
}

// fill gives a model the folders that are all models'.
func (c *Catalog) fill(m *Model, o Options) error {
	if m.Name == "" || len(m.Name) > 200 {
		return fmt.Errorf("the model %q needs a name of 1 to 200 bytes", words.Clip(m.Name))
	}
	if slices.ContainsFunc(slices.Concat(c.models, c.fetch), func(other Model) bool { return other.Name == m.Name }) {
		return fmt.Errorf("two models are called %s; give one another name: --model other=FILE", m.Name)
	}
	t := &m.Defaults.Model
	t.LoRADirectories = slices.Concat(t.LoRADirectories, o.LoRAs)
	t.ControlNetDirectories = slices.Concat(t.ControlNetDirectories, o.Nets)
	t.IPAdapterDirectories = slices.Concat(t.IPAdapterDirectories, o.IPAdapters)
	t.EmbeddingDirectories = slices.Concat(t.EmbeddingDirectories, o.Embeddings)
	t.WildcardDirectories = slices.Concat(t.WildcardDirectories, o.Wildcards)
	t.StyleFiles = slices.Concat(t.StyleFiles, o.Styles)
	if _, err := phrases.ReadStyles(t.StyleFiles...); err != nil {
		return fmt.Errorf("the model %s: %w", m.Name, err)
	}
	for _, dir := range t.WildcardDirectories {
		if _, err := os.ReadDir(dir); err != nil {
			return fmt.Errorf("the model %s: the folder of wildcards: %w", m.Name, err)
		}
	}
	return nil
}

// Models lists the models in their order.
func (c *Catalog) Models() []Model { return c.models }

// Find finds a model by its name; none is the first.
func (c *Catalog) Find(name string) (Model, bool) {
	for _, m := range c.models {
		if m.Name == name || name == "" {
			return m, true
		}
	}
	return Model{}, false
}

// List lists the names of a kind's files.
func (c *Catalog) List(kind Kind) (names []string, err error) {
	if c.listed != nil {
		return c.listed[kind], nil
	}
	files, err := c.of(kind).List()
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names, err
}

func (c *Catalog) of(kind Kind) *library.Library {
	return map[Kind]*library.Library{LoRA: c.loras, Net: c.nets, IPAdapter: c.ipAdapters, Embedding: c.embeddings, VAE: c.vaes,
		Refiner: c.refiners, Upscaler: c.upscalers, Detector: c.detectors}[kind]
}

// Path finds a file of a kind by its name, as clients write it.
func (c *Catalog) Path(kind Kind, name string) (string, error) { return c.path(kind, name) }

// path finds a file of a kind by its name, in the kind's folders only.
func (c *Catalog) path(kind Kind, name string) (string, error) {
	if c.listed != nil {
		return c.findListed(kind, name)
	}
	return c.of(kind).Find(name)
}

// Remote reports whether the files are on other machines.
func (c *Catalog) Remote() bool { return c.listed != nil }
