package command

import (
	"context"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// pictureTexts makes the texts of PNG files. A model's files are hashed once, beside the first picture.
type pictureTexts struct {
	env  Env
	warn func(text string) // nil: nobody is told

	mu     sync.Mutex
	models map[[5]string]*fileHashes // by the paths of a model's files
}

// fileHashes are the sums of a model's files, which are being computed.
type fileHashes struct {
	done   chan struct{}
	cancel context.CancelFunc
	files  []fileHash
	err    error
	told   sync.Once // that they could not be computed
}

// begin begins to hash a model's files where that was not done yet.
func (t *pictureTexts) begin(m request.Model) *fileHashes {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [5]string{m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE}
	if h := t.models[key]; h != nil {
		return h
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &fileHashes{done: make(chan struct{}), cancel: cancel}
	if t.models == nil {
		t.models = map[[5]string]*fileHashes{}
	}
	t.models[key] = h
	go func() {
		defer close(h.done)
		h.files, h.err = hashModel(ctx, m)
	}()
	return h
}

// stop ends what is being computed and waits for its end.
func (t *pictureTexts) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.models {
		h.cancel()
		<-h.done
	}
}

// of returns the texts of a picture: a picture without its model's hash is better than none.
func (t *pictureTexts) of(ctx context.Context, m request.Model, plan *pipeline.Result, img pipeline.Image) ([]imagefile.Text, error) {
	h := t.begin(m)
	select {
	case <-h.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.warn != nil && h.err != nil {
		h.told.Do(func() { t.warn("pictures will not name the model by its hash: " + h.err.Error()) })
	}
	err := plan.HashLoRAs(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if t.warn != nil && err != nil {
		t.warn("the picture will not name all adapters by their hashes: " + err.Error())
	}
	man := newManifest(t.env.Native.Library(), plan, img, h.files)
	text, err := man.json()
	return []imagefile.Text{{Keyword: "parameters", Value: a1111Parameters(man)}, {Keyword: "daguerre", Value: text}}, err
}

// needHashes reports whether any job's pictures name the model's files by their hashes.
func needHashes(jobs []request.Request) bool {
	return slices.ContainsFunc(jobs, func(job request.Request) bool {
		format, err := imagefile.FormatOf(service.OutputOf(job))
		return err == nil && service.HasText(job, format)
	})
}
