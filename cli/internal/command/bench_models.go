package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// benchModel is a model that is measured, with the files of its types.
type benchModel struct {
	benchmark.ModelReport
	path  string
	types []string // with the file's own in the place of benchmark.FileType
	size  benchmark.Size
	files map[string]benchFile // by type
}

// benchFile is where a type's weights come from.
type benchFile struct {
	path  string
	load  backend.Type // to bring the weights to when they are opened
	bytes int64
}

// benchFiles finds, makes up and converts the models of a benchmark in dir.
type benchFiles struct {
	opts benchOptions
	env  Env
	dir  string // of what is written; made when it is needed
	r    progress.Reporter
}

// folder returns the folder for large files. It is in the cache, not among temporary files, which may lie in memory.
func (f *benchFiles) folder() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	parent, err := f.opts.workDir, error(nil)
	if parent == "" {
		if parent, err = nano.CacheDir(); err != nil {
			return "", err
		}
	}
	if err = os.MkdirAll(parent, 0o755); err == nil {
		f.dir, err = os.MkdirTemp(parent, "bench-*")
	}
	if err != nil {
		return "", &outputError{fmt.Errorf("the work folder: %w; choose another with --work-dir", err)}
	}
	return f.dir, nil
}

// models prepares every model.
func (f *benchFiles) models(ctx context.Context) ([]benchModel, error) {
	var out []benchModel
	if f.opts.synthetic != "" {
		m, err := f.synthetic(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, name := range f.opts.models {
		m := benchModel{path: name}
		m.Label, m.File = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), filepath.Base(name)
		if name == pipeline.NanoModel {
			path, err := nano.Path(ctx)
			if err != nil {
				return nil, err
			}
			m.path, m.Label, m.File = path, name, filepath.Base(path)
		} else if path, err := modelPath(ctx, name); err != nil {
			return nil, err
		} else if path != name {
			m.path, m.Label, m.File = path, pipeline.ModelName(path), filepath.Base(path)
		}
		for _, o := range out {
			if o.Label == m.Label {
				m.Label = m.File
			}
		}
		out = append(out, m)
	}
	for i := range out {
		if err := f.describe(&out[i]); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if err := f.provide(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// synthetic writes a model with random weights.
func (f *benchFiles) synthetic(ctx context.Context) (benchModel, error) {
	m := benchModel{ModelReport: benchmark.ModelReport{Label: "synthetic-" + f.opts.synthetic, Synthetic: true}}
	dir, err := f.folder()
	if err != nil {
		return m, err
	}
	m.File = m.Label + ".safetensors"
	m.path = filepath.Join(dir, m.File)
	opt := synth.Options{Kind: synth.Kind(f.opts.synthetic)}
	size, err := synth.Size(opt)
	if err != nil {
		return m, err
	}
	f.note("writing a model with random weights, %s, into %s, which is removed at the end", words.Measured(size), dir)
	began := f.env.Now()
	opt.Progress = func(done, total int64) {
		f.r.Report(progress.Step{Stage: progress.StageWrite, Done: done, Total: total, Seconds: f.env.Now().Sub(began).Seconds()})
	}
	if err := synth.Write(ctx, m.path, opt); err != nil {
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		return m, &outputError{fmt.Errorf("writing the model: %w", err)}
	}
	return m, nil
}

// note tells a person what is going on.
func (f *benchFiles) note(format string, args ...any) {
	if !f.opts.quiet {
		_, _ = fmt.Fprintf(f.env.Stderr, format+"\n", args...)
	}
}

// describe reads a model's headers, and decides on its types.
func (f *benchFiles) describe(m *benchModel) error {
	r, err := modelfile.Inspect(m.path)
	if err != nil {
		return err
	}
	m.Kind, m.Parameters, m.FileBytes = string(r.Kind), r.Parameters, r.Size
	for t, n := range r.DTypes {
		if best := modelfile.DType(strings.ToUpper(m.FileType)); n > r.DTypes[best] || n == r.DTypes[best] && t < best {
			m.FileType = strings.ToLower(string(t))
		}
	}
	if u, ok := r.Component("unet"); ok { // what counts is the UNet's matrices, in a quantized file a quarter of its tensors
		for t := range u.DTypes {
			if t.Quantized() {
				m.FileType = strings.ToLower(string(t))
			}
		}
	}
	for _, t := range f.opts.types {
		if t == benchmark.FileType {
			t = m.FileType
		}
		if !slices.Contains(m.types, t) {
			m.types = append(m.types, t)
		}
	}
	side := cmp.Or(r.Config.UNet.SampleSize*8, 1024)
	m.size = benchmark.Size{Width: side, Height: side}
	if d := r.Config.Default; d.Width > 0 && d.Height > 0 {
		m.size = benchmark.Size{Width: d.Width, Height: d.Height}
	}
	return nil
}

// provide finds or makes the file of every type.
func (f *benchFiles) provide(ctx context.Context, m *benchModel) error {
	m.files = map[string]benchFile{}
	for _, name := range m.types {
		if name == m.FileType {
			m.files[name] = benchFile{path: m.path, load: backend.TypeAuto, bytes: m.FileBytes}
			if t := modelfile.DType(strings.ToUpper(name)); !t.Quantized() {
				m.files[name] = benchFile{path: m.path, load: backend.Type(name), bytes: m.FileBytes}
			}
			continue
		}
		t, err := convert.ParseType(name)
		if err != nil {
			return &usageError{message: fmt.Sprintf("%s: %v", m.Label, err)}
		}
		opt := convert.Options{Type: t, Format: modelfile.FormatGGUF}
		bytes, err := convert.Size(m.path, opt)
		if err != nil {
			return err
		}
		if f.opts.via == viaLoad || !t.Quantized() {
			m.files[name] = benchFile{path: m.path, load: backend.Type(name), bytes: bytes}
			continue
		}
		file, err := f.convert(ctx, m, name, opt)
		if err != nil {
			return err
		}
		m.files[name] = file
	}
	return nil
}

// convert writes a model's file of a quantized type.
func (f *benchFiles) convert(ctx context.Context, m *benchModel, name string, opt convert.Options) (benchFile, error) {
	var file benchFile
	dir, err := f.folder()
	if err != nil {
		return file, err
	}
	file = benchFile{path: filepath.Join(dir, fmt.Sprintf("%s-%s.gguf", m.Label, name)), load: backend.TypeAuto}
	f.note("converting %s to %s", m.Label, name)
	began := f.env.Now()
	opt.Program, opt.Quantizer = "daguerre bench", lazyQuantizer(sync.OnceValues(f.env.Native.Quantizer))
	opt.Progress = func(s convert.Stage, done, total int64) {
		f.r.Report(progress.Step{Stage: string(s), Done: done, Total: total, Seconds: f.env.Now().Sub(began).Seconds()})
	}
	if _, err := convert.Convert(ctx, m.path, file.path, opt); err != nil {
		err = convertOptions{out: file.path}.failed(ctx, err)
		if errors.Is(err, writer.ErrSpace) {
			err = &outputError{fmt.Errorf("%w; or measure with --quantize load, which needs no files", err)}
		}
		return file, err
	}
	file.bytes = fileSize(file.path)
	return file, nil
}
