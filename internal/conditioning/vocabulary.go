package conditioning

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Vocabulary is what prompts can name besides words: textual inversions. Files that are named one by one are read at once, those in folders
// when a prompt first names them. It is safe for concurrent use.
type Vocabulary struct {
	widths [2]int
	always []prompt.Embedding
	paths  []string        // of these
	files  []library.Found // of the folders; names differ

	mu     sync.Mutex
	loaded map[string]loadedEmbedding // by path
}

type loadedEmbedding struct {
	embedding prompt.Embedding
	err       error
}

// embeddingExtensions are the names a textual-inversion file in a folder may end in.
var embeddingExtensions = []string{".safetensors", ".pt", ".bin"}

// NewVocabulary reads files, and lists the files in folders, for the text encoders of a model. An unusable file among the first is an
// error.
func NewVocabulary(files, directories []string, info backend.ModelInfo) (*Vocabulary, error) {
	v := &Vocabulary{widths: [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}, loaded: map[string]loadedEmbedding{}}
	for _, path := range files {
		e, err := v.load(path)
		if err != nil {
			return nil, err
		}
		v.always, v.paths = append(v.always, e), append(v.paths, path)
	}
	found, err := library.New(library.Options{Directories: directories, Setting: "embedding_directories", What: "embeddings",
		Extensions: embeddingExtensions, Flat: true}).List()
	for _, f := range found { // of several with a name the first counts
		if !slices.ContainsFunc(v.files, func(other library.Found) bool { return strings.EqualFold(other.Name, f.Name) }) {
			v.files = append(v.files, f)
		}
	}
	return v, err
}

// load reads a file once; what is wrong with it is remembered too.
func (v *Vocabulary) load(path string) (prompt.Embedding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	l, ok := v.loaded[path]
	if !ok {
		e, err := modelfile.ReadEmbedding(path)
		l = loadedEmbedding{prompt.Embedding{Name: e.Name, L: e.L, G: e.G}, err}
		if err == nil {
			l.err = v.check(path, l.embedding)
		}
		v.loaded[path] = l
	}
	return l.embedding, l.err
}

// check compares an embedding's widths with the model's text encoders.
func (v *Vocabulary) check(path string, e prompt.Embedding) error {
	for i, vectors := range [][][]float32{e.L, e.G} {
		if len(vectors) > 0 && len(vectors[0]) != v.widths[i] {
			return &modelfile.Error{Kind: modelfile.ErrUnsupported, Path: path, Remedy: "use an embedding for this model",
				Found: fmt.Sprintf("its vectors for text encoder %d have width %d, the model's have %d: it is for another model", i+1,
					len(vectors[0]), v.widths[i])}
		}
	}
	return nil
}

// named lists the files in folders whose names occur in a request's texts.
func (v *Vocabulary) named(r *request.Request) (out []library.Found) {
	texts := []string{r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2}
	for _, g := range r.Regions {
		texts = append(texts, g.Prompt)
	}
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, f := range v.files {
		taken := slices.ContainsFunc(v.always, func(e prompt.Embedding) bool { return strings.EqualFold(e.Name, f.Name) })
		if !taken && strings.Contains(all, strings.ToLower(f.Name)) {
			out = append(out, f)
		}
	}
	return out
}

// Files lists the files from which a request's texts may take embeddings.
func (v *Vocabulary) Files(r *request.Request) []string {
	out := slices.Clone(v.paths)
	for _, f := range v.named(r) {
		out = append(out, f.Path)
	}
	return out
}

// Reader makes the prompt reader for a request's texts, with the embeddings of the folders that they name. A file in a folder that
// cannot be used is a warning, since its name may well be an ordinary word.
func (v *Vocabulary) Reader(m backend.Model, r *request.Request) (*prompt.Reader, []string, error) {
	var warnings []string
	embeddings := slices.Clone(v.always)
	for _, f := range v.named(r) {
		e, err := v.load(f.Path)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("the prompt names %q, whose file is not used: %v", f.Name, err))
			continue
		}
		embeddings = append(embeddings, e)
	}
	reader, err := prompt.NewReader(prompt.Options{Tokenize: m.Tokenize, VocabSize: m.Info().TextEncoder.VocabSize, Widths: v.widths,
		Embeddings: embeddings, Plain: r.PromptSyntax == request.SyntaxPlain,
		ComfyUI: r.PromptSyntax == request.SyntaxComfyUI})
	return reader, warnings, err
}
