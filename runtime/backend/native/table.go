package native

import (
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// readTable reads the headers of a model's files.
func readTable(files backend.Files) (*backend.Table, error) {
	m, err := modelfile.ReadModel(files)
	if err != nil {
		return nil, err
	}
	return m.Table()
}

// tableOf is the configuration's table if it has one; its files must not have changed. Otherwise the table is read now.
func (b *Backend) tableOf(cfg backend.ModelConfig) (*backend.Table, error) {
	if cfg.Table == nil {
		return b.read(cfg.Files)
	}
	for _, f := range cfg.Table.Files {
		if err := f.Identity.Check(f.Path); err != nil {
			return nil, err
		}
	}
	return cfg.Table, nil
}

// addTable translates a table.
func addTable(t *backend.Table, p *bindings.ModelParams) error {
	for _, f := range t.Files {
		id := f.Identity
		p.Files = append(p.Files, bindings.File{Path: f.Path, Size: id.Size, Modified: id.Modified, Changed: id.Changed, Device: int64(id.Device),
			Inode: int64(id.Inode)})
	}
	p.Weights = make([]bindings.Weight, len(t.Weights))
	for i, w := range t.Weights {
		stored, err := storedType(w.Type)
		if err != nil {
			return err
		}
		p.Weights[i] = bindings.Weight{Name: w.Name, Stored: w.Stored, File: w.File, Type: stored, Offset: w.Offset, Bytes: w.Bytes,
			Shape: w.Shape, Strides: w.Strides, Scale: w.Scale}
	}
	return nil
}

func storedType(t backend.Type) (int32, error) {
	if number, ok := bindings.StoredTypes[string(t)]; ok {
		return number, nil
	}
	number, ok := modelfile.DType(strings.ToUpper(string(t))).GGML()
	if !ok {
		return 0, status(opOpen, bindings.ErrUnsupported, "weights of type %s cannot be converted", t)
	}
	return int32(number), nil
}
