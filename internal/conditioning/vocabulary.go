package conditioning

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

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
	files  []embeddingFile // of the folders, by name

	mu     sync.Mutex
	loaded map[string]loadedEmbedding // by path
}

type embeddingFile struct{ name, path string }

type loadedEmbedding struct {
	embedding prompt.Embedding
	err       error
}

// embeddingExtensions are the names a textual-inversion file in a folder may end in.
var embeddingExtensions = []string{".safetensors", ".pt", ".bin"}

// NewVocabulary reads files, and lists the files in folders, for the text encoders of a model. An unusable file among the first is an error.
func NewVocabulary(files, directories []string, info backend.ModelInfo) (*Vocabulary, error) {
	v := &Vocabulary{widths: [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}, loaded: map[string]loadedEmbedding{}}
	for _, path := range files {
		e, err := v.load(path)
		if err != nil {
			return nil, err
		}
		v.always = append(v.always, e)
	}
	for _, dir := range directories {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("embedding_directories: %w", err)
		}
		for _, e := range entries {
			v.addFile(dir, e)
		}
	}
	return v, nil
}

// addFile lists one entry of a folder if it may be an embedding; of two files with one name the first counts.
func (v *Vocabulary) addFile(dir string, e fs.DirEntry) {
	ext := filepath.Ext(e.Name())
	name := strings.TrimSuffix(e.Name(), ext)
	if e.IsDir() || name == "" || !slices.Contains(embeddingExtensions, strings.ToLower(ext)) {
		return
	}
	if !slices.ContainsFunc(v.files, func(f embeddingFile) bool { return strings.EqualFold(f.name, name) }) {
		v.files = append(v.files, embeddingFile{name, filepath.Join(dir, e.Name())})
	}
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
			return fmt.Errorf("%s: its vectors for text encoder %d have width %d, the model's have %d: it is for another model",
				path, i+1, len(vectors[0]), v.widths[i])
		}
	}
	return nil
}

// Reader makes the prompt reader for a request's texts, with the embeddings of the folders that they name. A file in a folder that
// cannot be used is a warning, since its name may well be an ordinary word.
func (v *Vocabulary) Reader(m backend.Model, r *request.Request) (*prompt.Reader, []string, error) {
	var warnings []string
	embeddings := slices.Clone(v.always)
	all := strings.ToLower(strings.Join([]string{r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2}, "\n"))
	for _, f := range v.files {
		taken := slices.ContainsFunc(v.always, func(e prompt.Embedding) bool { return strings.EqualFold(e.Name, f.name) })
		if taken || !strings.Contains(all, strings.ToLower(f.name)) {
			continue
		}
		e, err := v.load(f.path)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("the prompt names %q, whose file is not used: %v", f.name, err))
			continue
		}
		embeddings = append(embeddings, e)
	}
	reader, err := prompt.NewReader(prompt.Options{Tokenize: m.Tokenize, VocabSize: m.Info().TextEncoder.VocabSize, Widths: v.widths,
		Embeddings: embeddings, Plain: r.PromptSyntax == request.SyntaxPlain})
	return reader, warnings, err
}
