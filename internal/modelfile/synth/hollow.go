package synth

import (
	"fmt"
	"io"
	"os"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// WriteHollow writes a safetensors file with the names, shapes and size that Write would give it, whose weights are a hole in the file: they
// take no room on the disk and read as zeros. It is for what looks at headers only, such as plans of memory.
func WriteHollow(path string, opt Options) error {
	p, err := newPlan(opt)
	if err != nil {
		return err
	}
	meta, err := p.metadata()
	if err != nil {
		return err
	}
	items := p.all()
	return writer.Atomically(path, func(w io.Writer) error {
		if err := writer.Header(w, modelfile.FormatSafetensors, tensorsOf(items), meta); err != nil {
			return err
		}
		f, ok := w.(*os.File)
		if !ok {
			return fmt.Errorf("%s: a hole can be left in a file only", path)
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		return f.Truncate(at + total(items))
	}, nil)
}
