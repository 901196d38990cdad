package pipeline

import (
	"errors"
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

// vocabulary is what prompts can name besides words: textual inversions. Those of Config.Embeddings are there from
// the start; those in folders are read when a prompt first names one.
type vocabulary struct {
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

// loadVocabulary reads Config.Embeddings and lists the folders. An unusable file among the former is an error.
func loadVocabulary(cfg Config, info backend.ModelInfo) (*vocabulary, error) {
	v := &vocabulary{widths: [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}, loaded: map[string]loadedEmbedding{}}
	for _, path := range cfg.Embeddings {
		e, err := v.load(path)
		if err != nil {
			return nil, err
		}
		v.always = append(v.always, e)
	}
	for _, dir := range cfg.EmbeddingDirectories {
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
func (v *vocabulary) addFile(dir string, e fs.DirEntry) {
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
func (v *vocabulary) load(path string) (prompt.Embedding, error) {
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
func (v *vocabulary) check(path string, e prompt.Embedding) error {
	for i, vectors := range [][][]float32{e.L, e.G} {
		if len(vectors) > 0 && len(vectors[0]) != v.widths[i] {
			return fmt.Errorf("%s: its vectors for text encoder %d have width %d, the model's have %d: it is for another model",
				path, i+1, len(vectors[0]), v.widths[i])
		}
	}
	return nil
}

// reader makes the prompt reader for some texts, with the embeddings of the folders that they may name. A folder's file that
// cannot be used is no error, since its name may well be an ordinary word; it is warned of.
func (v *vocabulary) reader(m backend.Model, syntax string, texts ...string) (*prompt.Reader, []string, error) {
	var warnings []string
	embeddings := slices.Clone(v.always)
	all := strings.ToLower(strings.Join(texts, "\n"))
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
	r, err := prompt.NewReader(prompt.Options{Tokenize: m.Tokenize, VocabSize: m.Info().TextEncoder.VocabSize, Widths: v.widths,
		Embeddings: embeddings, Plain: syntax == request.SyntaxPlain})
	return r, warnings, err
}

// checkPrompts checks the syntax of a request's prompts without a tokenizer.
func checkPrompts(r request.Request, at func(string) string, errs *request.Errors) {
	if r.PromptSyntax == request.SyntaxPlain {
		return
	}
	for _, p := range []struct{ key, text string }{{"prompt", r.Prompt}, {"prompt_2", r.Prompt2},
		{"negative_prompt", r.NegativePrompt}, {"negative_prompt_2", r.NegativePrompt2}} {
		rest, _, err := prompt.ExtractLoRA(p.text)
		if err == nil {
			_, err = prompt.Parse(rest)
		}
		if err != nil {
			errs.Add(at(p.key), "%v", err)
		}
	}
}

// promptError files a prompt's error under its key.
func promptError(key string, err error) error {
	var own *prompt.Error
	if errors.As(err, &own) {
		return request.Errors{{Path: key, Message: own.Error()}}
	}
	return fmt.Errorf("%s: %w", key, err)
}
