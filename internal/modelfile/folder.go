package modelfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
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

// folderClasses are parts of the names of the classes that SDXL's components have.
var folderClasses = map[string]string{"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel",
	"text_encoder_2": "CLIPTextModel"}

// FolderFiles lists the weights of a diffusers folder: one with model_index.json, or the folder of one
// component (config.json and weights). As in diffusers, the name without a variant is preferred, then
// fp16, then other variants; safetensors before .bin. A component that model_index.json names and that has
// no weights is an error.
func FolderFiles(dir string) (f Folder, err error) {
	err = fault.Catch(func() { f = folderFiles(dir, "") })
	return f, err
}

// FolderFilesOf is FolderFiles for a folder that is given as one component, such as "vae". From a pipeline's folder it lists only this
// component's weights; the other components may be missing. For any other role it lists the whole folder.
func FolderFilesOf(role, dir string) (f Folder, err error) {
	err = fault.Catch(func() { f = folderFiles(dir, onlyOf(role)) })
	return f, err
}

// onlyOf is the role if it is a component of a pipeline's folder, else "".
func onlyOf(role string) string {
	if slices.Contains(folderComponents, role) {
		return role
	}
	return ""
}

// folderFiles lists the files of a folder; of a pipeline's only those of one component, where one is named.
func folderFiles(dir, only string) Folder {
	st, err := os.Stat(dir)
	if err != nil {
		panic(osError(dir, err))
	}
	if !st.IsDir() {
		panic(&Error{Kind: ErrNotAFile, Path: dir, Found: "is no folder", Remedy: "name a diffusers folder"})
	}
	index, err := readObject(filepath.Join(dir, "model_index.json"))
	if errors.Is(err, ErrNotFound) {
		return loneFolder(dir)
	}
	fault.Check(err)
	out := Folder{Dir: dir}
	index.into("_class_name", &out.ClassName)
	if class := index.classOf("transformer"); class != "" && index.classOf("unet") == "" && (only == "" || only == "unet") {
		panic(index.unsupported("transformer", class, "UNet2DConditionModel"))
	}
	for _, name := range folderComponents {
		if class := index.classOf(name); class != "" && (only == "" || only == name) {
			if !strings.Contains(class, folderClasses[name]) {
				panic(index.unsupported(name, class, folderClasses[name]))
			}
			out.Components = append(out.Components, componentFiles(filepath.Join(dir, name), name))
		}
	}
	if len(out.Components) == 0 && only != "" {
		panic(&Error{Kind: ErrFormat, Path: index.path, Found: "names no " + only, Remedy: "name a folder that holds one"})
	}
	if len(out.Components) == 0 {
		panic(&Error{Kind: ErrFormat, Path: index.path, Found: "names none of unet, vae, text_encoder and text_encoder_2",
			Remedy: "name the folder of an SDXL pipeline"})
	}
	return out
}

// classOf reads an entry [library, class]; "" when it is absent or [null, null].
func (o object) classOf(name string) string {
	v, ok := o.get(name)
	if !ok {
		return ""
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		panic(o.bad(name, "found %s instead of [library, class]", valueKind(v)))
	}
	if list[1] == nil {
		return ""
	}
	return as[string](o, name, list[1], "instead of a class name")
}

// unsupported is the error of a component whose class SDXL does not have.
func (o object) unsupported(name, class, want string) *Error {
	return &Error{Kind: ErrUnsupported, Path: o.path, Field: name, Remedy: "use an SDXL model",
		Found: "not supported: a " + quoteName(class) + ", where SDXL has a " + want}
}

// loneFolder is a folder of one component.
func loneFolder(dir string) Folder {
	o, err := readObject(filepath.Join(dir, "config.json"))
	if errors.Is(err, ErrNotFound) {
		panic(&Error{Kind: ErrNotAFile, Path: dir, Found: "a directory without model_index.json or config.json",
			Remedy: "name a model file or a diffusers folder"})
	}
	fault.Check(err)
	name := o.component()
	if name == "" {
		class, _ := o.values["_class_name"].(string)
		if list, _ := o.values["architectures"].([]any); class == "" && len(list) > 0 {
			class, _ = list[0].(string)
		}
		panic(&Error{Kind: ErrUnsupported, Path: o.path, Field: "_class_name",
			Found:  quoteName(class) + " is not the class of a UNet, VAE, ControlNet or CLIP text encoder",
			Remedy: "name the folder of an SDXL model"})
	}
	return Folder{Dir: dir, Components: []FolderComponent{componentFiles(dir, name)}}
}

// componentFiles chooses among the weights in one component's folder.
func componentFiles(dir, name string) FolderComponent {
	c := FolderComponent{Name: name}
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(osError(dir, err))
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
		panic(&Error{Kind: ErrNotFound, Path: dir, Found: "holds no weights", Remedy: "expected " + stems[0] + ".safetensors: download it"})
	}
	path := filepath.Join(dir, chosen)
	if !strings.HasSuffix(chosen, ".json") {
		c.Files = []string{path}
		return c
	}
	c.Index, c.Files = path, shards(path, dir)
	return c
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
func shards(index, dir string) []string {
	o := fault.Value(readObject(index))
	m := o.object("weight_map")
	var names []string
	for key := range m.values {
		var file string
		m.into(key, &file)
		if file == "" || file != filepath.Base(file) || strings.ContainsAny(file, `/\`) || file == ".." || file == "." {
			panic(m.bad(key, "%s is not a file name in the same folder", quoteName(file)))
		}
		if !slices.Contains(names, file) {
			names = append(names, file)
		}
		if len(names) > 1000 {
			panic(o.bad("weight_map", "more than 1,000 shards"))
		}
	}
	if len(names) == 0 {
		panic(o.bad("weight_map", "names no file"))
	}
	slices.Sort(names)
	for i, n := range names {
		names[i] = filepath.Join(dir, n)
		if _, err := os.Stat(names[i]); errors.Is(err, fs.ErrNotExist) {
			panic(withPath(names[i], fail(ErrTruncated, "", "download it", "shard %d of %d is missing", i+1, len(names))))
		}
	}
	return names
}

// config collects the configs of a diffusers folder.
func (f Folder) config() (c Config, err error) {
	err = fault.Catch(func() {
		if f.ClassName != "" {
			o := fault.Value(readObject(filepath.Join(f.Dir, "model_index.json")))
			c.readIndex(o)
			c.Sources = append(c.Sources, o.path)
		}
		components := append(slices.Clip(f.Components), FolderComponent{Name: "scheduler",
			Config: filepath.Join(f.Dir, "scheduler", "scheduler_config.json")})
		for _, part := range components {
			if part.Config == "" {
				continue
			}
			o, err := readObject(part.Config)
			if part.Name == "scheduler" && errors.Is(err, ErrNotFound) {
				continue
			}
			fault.Check(err)
			c.readComponent(part.Name, o)
			c.Sources = append(c.Sources, part.Config)
		}
	})
	return c, err
}
