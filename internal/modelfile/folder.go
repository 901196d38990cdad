package modelfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Folder says which files a diffusers folder consists of.
type Folder struct {
	Dir        string            `json:"dir"`
	ClassName  string            `json:"class_name,omitempty"` // of model_index.json; empty for a lone component's folder
	Components []FolderComponent `json:"components"`           // in the order unet, vae, text_encoder, text_encoder_2
}

// FolderComponent is one component of a Folder.
type FolderComponent struct {
	Name    string   `json:"name"`    // "unet", "vae", "text_encoder", "text_encoder_2"
	Config  string   `json:"config"`  // path of its config.json; empty if there is none
	Files   []string `json:"files"`   // weights: one, or the shards in order
	Variant string   `json:"variant"` // "fp16" for *.fp16.safetensors; empty for the plain name
	Index   string   `json:"index"`   // path of the shard index; empty for one file
}

// Component returns the component of that name.
func (f Folder) Component(name string) (FolderComponent, bool) {
	for _, c := range f.Components {
		if c.Name == name {
			return c, true
		}
	}
	return FolderComponent{}, false
}

var folderComponents = []string{"unet", "vae", "text_encoder", "text_encoder_2"}

// FolderFiles lists the weights of a diffusers folder: one with model_index.json, or the folder of one
// component (config.json and weights). As in diffusers, the name without a variant is preferred, then
// fp16, then other variants; safetensors before .bin. A component that model_index.json names and that has
// no weights is an error.
func FolderFiles(dir string) (Folder, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return Folder{}, osError(dir, err)
	}
	if !st.IsDir() {
		return Folder{}, &Error{Kind: ErrNotAFile, Path: dir, Found: "is no folder", Remedy: "name a diffusers folder"}
	}
	index, err := readObject(filepath.Join(dir, "model_index.json"))
	if errors.Is(err, ErrNotFound) {
		return loneFolder(dir)
	}
	if err != nil {
		return Folder{}, err
	}
	out := Folder{Dir: dir}
	if err := index.text("_class_name", &out.ClassName); err != nil {
		return Folder{}, err
	}
	for _, name := range folderComponents {
		class, err := index.classOf(name)
		if err != nil {
			return Folder{}, err
		}
		if class == "" {
			continue
		}
		c, err := componentFiles(filepath.Join(dir, name), name)
		if err != nil {
			return Folder{}, err
		}
		out.Components = append(out.Components, c)
	}
	if len(out.Components) == 0 {
		return Folder{}, &Error{Kind: ErrFormat, Path: index.path, Found: "names none of unet, vae, text_encoder and text_encoder_2",
			Remedy: "name the folder of an SDXL pipeline"}
	}
	return out, nil
}

// classOf reads an entry [library, class]; "" when it is absent or [null, null].
func (o object) classOf(name string) (string, error) {
	v, ok := o.get(name)
	if !ok {
		return "", nil
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return "", o.bad(name, "found %s instead of [library, class]", valueKind(v))
	}
	if list[1] == nil {
		return "", nil
	}
	s, ok := list[1].(string)
	if !ok {
		return "", o.bad(name, "found %s instead of a class name", valueKind(list[1]))
	}
	return s, nil
}

// loneFolder is a folder of one component.
func loneFolder(dir string) (Folder, error) {
	o, err := readObject(filepath.Join(dir, "config.json"))
	if errors.Is(err, ErrNotFound) {
		return Folder{}, &Error{Kind: ErrNotAFile, Path: dir, Found: "a directory without model_index.json or config.json",
			Remedy: "name a model file or a diffusers folder"}
	}
	if err != nil {
		return Folder{}, err
	}
	name := o.component()
	if name == "" {
		return Folder{}, &Error{Kind: ErrUnsupported, Path: o.path, Field: "_class_name", Found: "not the config of a UNet, VAE or CLIP text encoder",
			Remedy: "name the folder of an SDXL model"}
	}
	c, err := componentFiles(dir, name)
	if err != nil {
		return Folder{}, err
	}
	return Folder{Dir: dir, Components: []FolderComponent{c}}, nil
}

// componentFiles chooses among the weights in one component's folder.
func componentFiles(dir, name string) (FolderComponent, error) {
	c := FolderComponent{Name: name}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, osError(dir, err)
	}
	stems := []string{"diffusion_pytorch_model"}
	if strings.HasPrefix(name, "text_encoder") {
		stems = []string{"model", "pytorch_model"}
	}
	best := -1
	var chosen string
	for _, e := range entries {
		if e.Name() == "config.json" {
			c.Config = filepath.Join(dir, "config.json")
		}
		if e.IsDir() {
			continue
		}
		score, variant := rankWeights(e.Name(), stems)
		if score > best || score == best && score >= 0 && e.Name() < chosen {
			best, chosen, c.Variant = score, e.Name(), variant
		}
	}
	if best < 0 {
		return c, &Error{Kind: ErrNotFound, Path: dir, Found: "holds no weights", Remedy: fmt.Sprintf("expected %s.safetensors: download it", stems[0])}
	}
	path := filepath.Join(dir, chosen)
	if !strings.HasSuffix(chosen, ".json") {
		c.Files = []string{path}
		return c, nil
	}
	c.Index = path
	c.Files, err = shards(path, dir)
	return c, err
}

// rankWeights scores a file name: format, then variant, then a single file before shards; -1 if it is
// not a component's weights.
func rankWeights(file string, stems []string) (score int, variant string) {
	rest, ok := "", false
	for _, stem := range stems {
		if rest, ok = strings.CutPrefix(file, stem+"."); ok {
			break
		}
	}
	if !ok {
		return -1, ""
	}
	rest, sharded := strings.CutSuffix(rest, ".index.json")
	if !sharded {
		if v, ok := strings.CutPrefix(rest, "safetensors.index."); ok && strings.HasSuffix(v, ".json") {
			// the spelling model.safetensors.index.fp16.json
			rest, sharded = strings.TrimSuffix(v, ".json")+".safetensors", true
		}
	}
	switch ext := filepath.Ext("." + rest); ext {
	case ".safetensors":
		score = 100
	case ".bin":
		score = 0
	default:
		return -1, ""
	}
	variant = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(rest, "safetensors"), "bin"), ".")
	if strings.Contains(variant, "-of-") || strings.HasPrefix(variant, "onnx") {
		return -1, ""
	}
	switch variant {
	case "":
		score += 30
	case "fp16":
		score += 20
	case "non_ema":
	default:
		score += 10
	}
	if !sharded {
		score++
	}
	return score, variant
}

// shards lists the files of a *.index.json; they lie in its folder.
func shards(index, dir string) ([]string, error) {
	o, err := readObject(index)
	if err != nil {
		return nil, err
	}
	m, err := o.object("weight_map")
	if err != nil {
		return nil, err
	}
	var names []string
	for key := range m.values {
		var file string
		if err := m.text(key, &file); err != nil {
			return nil, err
		}
		if file == "" || file != filepath.Base(file) || strings.ContainsAny(file, `/\`) || file == ".." || file == "." {
			return nil, m.bad(key, "%s is not a file name in the same folder", quoteName(file))
		}
		if !slices.Contains(names, file) {
			names = append(names, file)
		}
		if len(names) > 1000 {
			return nil, o.bad("weight_map", "more than 1,000 shards")
		}
	}
	if len(names) == 0 {
		return nil, o.bad("weight_map", "names no file")
	}
	sort.Strings(names)
	for i, n := range names {
		names[i] = filepath.Join(dir, n)
		if _, err := os.Stat(names[i]); errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Kind: ErrTruncated, Path: names[i], Found: fmt.Sprintf("shard %d of %d is missing", i+1, len(names)), Remedy: "download it"}
		}
	}
	return names, nil
}

// config collects the configs of a diffusers folder.
func (folder Folder) config() (Config, error) {
	var c Config
	if folder.ClassName != "" {
		o, err := readObject(filepath.Join(folder.Dir, "model_index.json"))
		if err != nil {
			return c, err
		}
		if err := c.readIndex(o); err != nil {
			return c, err
		}
		c.Sources = append(c.Sources, o.path)
	}
	for _, part := range folder.Components {
		if part.Config == "" {
			continue
		}
		if err := c.readFile(part.Name, part.Config); err != nil {
			return c, err
		}
	}
	err := c.readFile("scheduler", filepath.Join(folder.Dir, "scheduler", "scheduler_config.json"))
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return c, err
}

func (c *Config) readFile(component, path string) error {
	o, err := readObject(path)
	if err != nil {
		return err
	}
	if err := c.readComponent(component, o); err != nil {
		return err
	}
	c.Sources = append(c.Sources, path)
	return nil
}
