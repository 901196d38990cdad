package adapters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// FusedKey is the metadata entry that names the adapters in a fused checkpoint, as a JSON array.
const FusedKey = "daguerre.fused"

// FuseOptions say what to fuse. Only Stack is needed.
type FuseOptions struct {
	Stack   lora.Stack
	Resolve func(lora.Adapter) (string, error) // finds an adapter's file; nil: its Path
	Merger  backend.LoRAMerger                 // nil: Merger, in Go
	// Quantizer converts quantized weights; nil where the checkpoint has none.
	Quantizer backend.Quantizer
	// Progress, if not nil, is told the bytes of the checkpoint that were done, and all.
	Progress func(done, total int64)
}

// FuseReport tells what was done.
type FuseReport struct {
	Adapters []Report `json:"adapters"`
	Tensors  int      `json:"tensors"` // of the checkpoint
	Changed  int      `json:"changed"` // of them
	Bytes    int64    `json:"bytes"`   // of tensor data
}

// Fuse writes the checkpoint or folder `in` with the stack's adapters added to its weights, as the file `out`. Names, types and
// metadata stay as they are, but for FP8 that is scaled or changed, which becomes F16. The extension of `out` chooses safetensors or
// GGUF. Tensors pass through one by one. Cancelling ctx stops it between two; whatever stops it, nothing is left behind, and a file that
// was there before stays.
func Fuse(ctx context.Context, in, out string, opt FuseOptions) (*FuseReport, error) {
	if err := opt.Stack.Validate(); err != nil {
		return nil, err
	}
	if opt.Merger == nil {
		opt.Merger = Merger{}
	}
	c, err := modelfile.OpenAll(in)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	f := &fusion{opt: opt, collection: c, changes: map[string][]change{}, format: writer.FormatOf(out)}
	defer f.close()
	if err := fault.Catch(func() { f.run(ctx, out) }); err != nil {
		return nil, err
	}
	return &f.report, nil
}

func (f *fusion) run(ctx context.Context, out string) {
	fault.Check(f.collection.Check())
	fault.Check(f.openAdapters())
	f.checkTargets()
	meta := f.metadata()
	var tensors []writer.Tensor // as they will be written
	for _, u := range f.collection.Tensors {
		t := writer.Tensor{Name: u.Unique, DType: f.typeOf(u), Shape: u.StoredShape(), Size: u.Size}
		if t.DType != u.DType {
			t.Size *= 2
		}
		tensors = append(tensors, t)
		f.report.Bytes += u.Size
	}
	fault.Check(disk.CheckSpace(filepath.Dir(out), f.report.Bytes))
	fault.Check(writer.Atomically(out, func(w io.Writer) error {
		if err := writer.Header(w, f.format, tensors, meta); err != nil {
			return err
		}
		return f.write(ctx, w)
	}, nil))
}

// fusion is one Fuse.
type fusion struct {
	opt        FuseOptions
	collection *modelfile.Collection
	format     modelfile.Format
	files      []*File
	fused      []lora.Adapter      // of the files
	changes    map[string][]change // by canonical tensor
	report     FuseReport
}

// change is one target of one of the adapters.
type change struct {
	file   *File
	target int
	weight float64
}

func (f *fusion) close() {
	for _, a := range f.files {
		_ = a.Close() // opened for reading
	}
}

// openAdapters maps the adapters to the checkpoint's modules.
func (f *fusion) openAdapters() error {
	model := NewModel(ModulesOf(f.collection.Dims))
	stack := f.opt.Stack
	var errs []error
	for _, a := range stack.Enabled() {
		path, err := a.Path, error(nil)
		if f.opt.Resolve != nil {
			path, err = f.opt.Resolve(a)
		}
		if err == nil {
			err = checkBlocks(a, model)
		}
		var file *File
		if err == nil {
			file, err = Open(path, model)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("lora %q: %w", a.Label(), err))
			continue
		}
		f.files, f.fused = append(f.files, file), append(f.fused, a)
		if stack.Strict && file.Report.Partial() {
			errs = append(errs, &lora.Error{Kind: lora.ErrPartial, Adapter: path, Message: "only " + file.Report.Summary() + "; strict is set"})
		}
		weights, _ := weightsAt(stack, a, file.Infos(), 0, 1)
		for i, p := range file.planned {
			if weights[i] != 0 {
				name := p.target.Module + "." + tensorOf(p.target.Form)
				f.changes[name] = append(f.changes[name], change{file, i, float64(weights[i])})
			}
		}
		f.report.Adapters = append(f.report.Adapters, file.Report)
	}
	return errors.Join(errs...)
}

// tensorOf is the tensor of a module that a form changes.
func tensorOf(form backend.LoRAForm) string {
	if form == backend.LoRABias || form == backend.LoRABiasScale {
		return "bias"
	}
	return "weight"
}

// checkTargets makes sure that the checkpoint has every tensor that is to be changed, in a type that can be.
func (f *fusion) checkTargets() {
	missing := map[string]bool{}
	for name := range f.changes {
		missing[name] = true
	}
	for _, u := range f.collection.Tensors {
		for _, p := range u.Canonical {
			delete(missing, p.Name)
			if len(f.changes[p.Name]) > 0 && u.DType.Quantized() && f.opt.Quantizer == nil {
				panic(fail(lora.ErrConfig, tensorField(u.Name), "is of type %s, which needs the native library to be changed", u.DType))
			}
		}
	}
	for name := range missing {
		panic(fail(lora.ErrShape, quoteName(name), "is to be changed, but the checkpoint has no such tensor"))
	}
}

func (f *fusion) metadata() map[string]string {
	meta := fault.Value(writer.Metadata(f.collection))
	type entry struct {
		Name   string  `json:"name"`
		UNet   float64 `json:"unet_weight"`
		Text   float64 `json:"text_encoder_weight"`
		Before string  `json:"before,omitempty"` // what an earlier fusion left
	}
	var list []entry
	for _, a := range f.fused {
		list = append(list, entry{Name: a.Label(), UNet: f.opt.Stack.EffectiveWeight(a, lora.UNet),
			Text: f.opt.Stack.EffectiveWeight(a, lora.TextEncoder)})
	}
	if earlier := meta[FusedKey]; earlier != "" {
		list = append(list, entry{Before: earlier})
	}
	meta[FusedKey] = string(fault.Value(json.Marshal(list)))
	if f.format == modelfile.FormatSafetensors && meta["format"] == "" {
		meta["format"] = "pt" // what transformers asks for
	}
	return meta
}

// write writes every tensor, changed or not.
func (f *fusion) write(ctx context.Context, w io.Writer) error {
	var done int64
	f.report.Tensors = len(f.collection.Tensors)
	for _, u := range f.collection.Tensors {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := u.File.ReadRaw(u.Name)
		if err != nil {
			return err
		}
		changes := f.changesAny(u)
		if changes || f.typeOf(u) != u.DType {
			if data, err = f.change(u, data); err != nil {
				return fmt.Errorf("%s: %w", tensorField(u.Name), err)
			}
		}
		if changes {
			f.report.Changed++
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if _, err := w.Write(writer.Padding(f.format, int64(len(data)))); err != nil {
			return err
		}
		if done += u.Size; f.opt.Progress != nil {
			f.opt.Progress(done, f.report.Bytes)
		}
	}
	return nil
}

// changesAny reports whether adapters change a part of a tensor.
func (f *fusion) changesAny(u modelfile.Used) bool {
	return slices.ContainsFunc(u.Canonical, func(p modelfile.CanonicalPart) bool { return len(f.changes[p.Name]) > 0 })
}

// typeOf is the type that a tensor is written in: its own type, or F16 for FP8 that is scaled or changed.
func (f *fusion) typeOf(u modelfile.Used) modelfile.DType {
	if (u.DType == modelfile.F8E4M3 || u.DType == modelfile.F8E5M2) && (u.Scaled() || f.changesAny(u)) {
		return modelfile.F16
	}
	return u.DType
}

// change decodes a tensor, adds what the adapters change in each of its parts, and encodes it again.
func (f *fusion) change(u modelfile.Used, data []byte) ([]byte, error) {
	values := make([]float32, u.Elements())
	columns := len(values) / max(int(u.Shape[0]), 1)
	if len(u.Shape) > 1 {
		columns = int(u.Shape[len(u.Shape)-1])
	}
	typ := backend.Type(strings.ToLower(string(u.DType)))
	if u.DType.Quantized() {
		columns = int(u.StoredRow())
		if err := f.opt.Quantizer.Dequantize(typ, data, columns, values); err != nil {
			return nil, err
		}
	} else if !u.DType.Decode(data, values) {
		return nil, fail(lora.ErrFormat, "", "is of type %s, which is not read as numbers", u.DType)
	}
	u.Rescale(values, 0)
	to := f.typeOf(u)
	for _, p := range u.Canonical {
		n := len(values) / p.Parts
		if err := f.merge(values[p.Part*n:(p.Part+1)*n], partShape(u, p), p); err != nil {
			return nil, err
		}
	}
	for _, v := range values {
		if v-v != 0 || to == modelfile.F16 && (v > 65504 || v < -65504) {
			return nil, fail(lora.ErrValue, "", "becomes %v with the adapters, which type %s cannot hold; use smaller weights", v, to)
		}
	}
	out := make([]byte, len(data))
	if to != u.DType {
		out = make([]byte, 2*len(data))
	}
	if u.DType.Quantized() {
		return out, f.opt.Quantizer.Quantize(typ, values, columns, out)
	}
	if !to.Encode(values, out) {
		return nil, fail(lora.ErrFormat, "", "is of type %s, which is not written; convert the model first", u.DType)
	}
	return out, nil
}

// partShape is the shape of one part, as the module has it.
func partShape(u modelfile.Used, p modelfile.CanonicalPart) []int {
	shape := make([]int, len(u.Shape))
	for i, n := range u.Shape {
		shape[i] = int(n)
	}
	shape[0] /= p.Parts
	if p.Transpose {
		slices.Reverse(shape)
	}
	return shape
}

// ofWeight tells whether a change depends on the weight itself.
func ofWeight(t backend.LoRATarget) bool {
	return t.Magnitude != nil || slices.Contains([]backend.LoRAForm{backend.LoRAInScale, backend.LoRAOutScale, backend.LoRABiasScale,
		backend.LoRAInLowRank, backend.LoRAOutRotate, backend.LoRAInRotate}, t.Form)
}

// merge adds all changes of one weight. A change that depends on the weight is computed from the checkpoint's values, so merge keeps a copy
// of them.
func (f *fusion) merge(values []float32, shape []int, p modelfile.CanonicalPart) error {
	changes := f.changes[p.Name]
	if len(changes) == 0 {
		return nil
	}
	w := values
	if p.Transpose {
		w = transpose(values, shape[1], shape[0])
	}
	before := slices.Clone(w)
	for _, c := range changes {
		t, err := c.file.target(c.target)
		if err != nil {
			return err
		}
		if !ofWeight(t) {
			if err := f.opt.Merger.MergeLoRA(w, shape, t, c.weight); err != nil {
				return err
			}
			continue
		}
		alone := slices.Clone(before)
		if err := f.opt.Merger.MergeLoRA(alone, shape, t, c.weight); err != nil {
			return err
		}
		for i, v := range alone {
			w[i] += v - before[i]
		}
	}
	if p.Transpose {
		copy(values, transpose(w, shape[0], shape[1]))
	}
	return nil
}
