package adapters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// File is an adapter's file whose keys were mapped to a model's modules and whose shapes fit; its data is read by
// Targets. It is used by one goroutine at a time.
type File struct {
	Report  Report
	source  *source
	planned []planned
	refused *lora.Error // of the first tensor of an algorithm that is not read
}

// Model holds the names of a model's modules in the form adapters are matched against. It is immutable and may be shared.
type Model struct{ index *index }

// NewModel prepares a model's modules, as backend.Model.Modules lists them.
func NewModel(modules []backend.Module) *Model { return &Model{newIndex(modules)} }

// Open reads the header of an adapter's file and maps it to a model. What has no place in the model is listed in the Report and
// is no error; a file that is no adapter (lora.ErrFormat), one for another kind of model (lora.ErrWrongModel), and one whose
// tensors do not fit (lora.ErrShape) or make no sense (lora.ErrValue) are. Errors are *lora.Error. The caller closes the File.
func Open(path string, model *Model) (*File, error) {
	f, err := modelfile.Open(path)
	if err != nil {
		return nil, fileError(err)
	}
	var a *File
	if err := fault.Catch(func() { a = open(f, model) }); err != nil {
		f.Close()
		return nil, of(path, err)
	}
	return a, nil
}

func open(f *modelfile.File, model *Model) *File {
	if f.Format == modelfile.FormatGGUF {
		panic(fail(lora.ErrFormat, "", "is a GGUF file; adapters are read from safetensors and PyTorch files"))
	}
	a := &File{source: &source{f}, Report: newReport(f)}
	groups, keys := a.groups(model.index)
	if keys == 0 {
		panic(notAnAdapter(f))
	}
	checkModel(f, model.index)
	fault.Check(a.plan(groups, readScaling(f)))
	a.summarise()
	if len(a.planned) == 0 {
		panic(a.nothing())
	}
	return a
}

// nothing is the error of a file without any tensor that can be applied.
func (a *File) nothing() error {
	if a.refused != nil {
		return a.refused
	}
	first, kind := a.Report.Unmatched[0], lora.ErrFormat
	for _, u := range a.Report.Unmatched {
		if u.place {
			first, kind = u, lora.ErrWrongModel
		}
	}
	return fail(kind, "", "none of its %s tensors has a place in this model; the first is %s (%s)", group3(a.Report.Tensors),
		quoteName(first.Tensor), first.Reason)
}

// newReport describes the file by itself.
func newReport(f *modelfile.File) Report {
	r := Report{Name: lora.Name(f.Path), Path: f.Path, Format: f.Format, Size: f.Size, Tensors: len(f.Tensors), Origin: readOrigin(f.Metadata),
		Algorithms: map[Algorithm]int{}, Components: map[string]int{}, Types: map[string]int{}, Warnings: slices.Clone(f.Warnings)}
	for _, t := range f.Tensors {
		r.Types[string(t.DType)]++
	}
	return r
}

// notAnAdapter says what a file without adapter tensors is.
func notAnAdapter(f *modelfile.File) error {
	if len(f.Tensors) == 0 {
		return fail(lora.ErrFormat, "", "holds no tensors")
	}
	what := "a file of " + group3(len(f.Tensors)) + " tensors such as " + quoteName(f.Tensors[0].Name)
	if r, err := modelfile.Inspect(f.Path); err == nil && r.Kind != modelfile.KindUnknown {
		what = "a file of kind " + string(r.Kind)
	}
	return fail(lora.ErrFormat, "", "is no adapter but %s", what)
}

// groups sorts the file's tensors by module and counts those that have an adapter's name.
func (a *File) groups(x *index) (list []*group, keys int) {
	byModule := map[string]*group{}
	for _, t := range a.source.file.Tensors {
		if ofIPAdapter(t.Name) {
			a.Report.Tensors--
			continue
		}
		if strings.HasPrefix(t.Name, "bundle_emb.") {
			a.skip(t.Name, "a textual-inversion embedding that comes along; extract it to use it")
			continue
		}
		if why, no := refusalOf(t.Name); no {
			keys++
			a.skip(t.Name, why.reason)
			if a.refused == nil {
				a.refused = fail(lora.ErrFormat, tensorField(t.Name), "this file is a %s adapter, which is not supported", why.algorithm)
			}
			continue
		}
		base, s, ok := splitKey(t.Name)
		if ok && s.part != partIA3 {
			keys++
		}
		m, component, found := x.find(base)
		switch {
		case !ok:
			a.skip(t.Name, unknownPart(t.Name))
			continue
		case !found && component != "" && len(x.flat[component]) == 0:
			a.misplaced(t.Name, "the model has no "+component)
			continue
		case !found:
			a.misplaced(t.Name, "the model has no such module")
			continue
		}
		g := byModule[m.Name]
		if g == nil {
			g = &group{base: base, module: m, block: x.blocks[m.Name], parts: map[part]modelfile.Tensor{}, used: map[part]bool{}}
			byModule[m.Name], list = g, append(list, g)
		}
		if other, twice := g.parts[s.part]; twice {
			a.skip(t.Name, "is for the same as "+quoteName(other.Name))
			continue
		}
		g.parts[s.part] = t
	}
	return list, keys
}

func (a *File) skip(name, reason string) {
	a.Report.Unmatched = append(a.Report.Unmatched, Unmatched{Tensor: name, Reason: reason})
}

// misplaced skips a tensor of a module that the model does not have.
func (a *File) misplaced(name, reason string) {
	a.Report.Unmatched = append(a.Report.Unmatched, Unmatched{Tensor: name, Reason: reason, place: true})
}

// plan makes the targets of all groups. If several modules do not fit, the error tells how many.
func (a *File) plan(groups []*group, scales scaling) error {
	var first error
	bad := 0
	for _, g := range groups {
		g.scales = scales
		var targets []planned
		if err := fault.Catch(func() { targets = g.plan(a.source) }); err != nil {
			if bad++; first == nil {
				first = err
			}
			continue
		}
		for _, t := range targets {
			t.module = g.module
			a.planned = append(a.planned, t)
		}
		a.Report.Unmatched = append(a.Report.Unmatched, g.unused()...)
		if len(targets) > 0 {
			component, _, _ := strings.Cut(g.module.Name, ".")
			a.Report.Components[component]++
			a.Report.Modules++
		}
	}
	var e *lora.Error
	if !errors.As(first, &e) {
		return first
	}
	if bad > 1 {
		e.Message += fmt.Sprintf(" (and %s of %s modules more)", group3(bad-1), group3(len(groups)))
	}
	if n := len(a.Report.Unmatched); n > 0 { // it may be what the module misses
		e.Message += fmt.Sprintf("; %d of %s tensors have no place, the first is %s", n, group3(a.Report.Tensors),
			quoteName(a.Report.Unmatched[0].Tensor))
	}
	if bad > len(groups)/2 && bad > 1 && e.Kind == lora.ErrShape {
		e.Kind, e.Message = lora.ErrWrongModel, "is made for a model of other dimensions: "+e.Message
	}
	return e
}

// summarise fills in what the targets tell.
func (a *File) summarise() {
	r := &a.Report
	slices.SortStableFunc(r.Unmatched, func(a, b Unmatched) int {
		return cmp.Or(cmp.Compare(a.leftover, b.leftover), cmp.Compare(a.Tensor, b.Tensor))
	})
	r.Applied = r.Tensors - len(r.Unmatched)
	for _, p := range a.planned {
		r.Algorithms[p.algorithm]++
		r.Bytes += p.bytes
		r.Targets++
		if p.dora {
			r.DoRA++
		}
		if p.rank > 0 {
			r.Ranks = append(r.Ranks, p.rank)
			r.Alphas = append(r.Alphas, p.alpha)
		}
	}
	slices.Sort(r.Ranks)
	slices.Sort(r.Alphas)
	r.Ranks, r.Alphas = slices.Compact(r.Ranks), slices.Compact(r.Alphas)
}

// Infos lists the targets in the order of Targets.
func (a *File) Infos() []TargetInfo {
	out := make([]TargetInfo, len(a.planned))
	for i, p := range a.planned {
		out[i] = TargetInfo{p.target.Module, p.block}
	}
	return out
}

// Targets reads the file's data. Cancelling ctx stops it at the next module.
func (a *File) Targets(ctx context.Context) ([]backend.LoRATarget, error) {
	out := make([]backend.LoRATarget, len(a.planned))
	for i := range a.planned {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if out[i], err = a.target(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// target reads one target's data.
func (a *File) target(i int) (backend.LoRATarget, error) {
	t := a.planned[i].target
	err := fault.Catch(func() { a.planned[i].load(a.source, &t) })
	return t, of(a.Report.Path, err)
}

// Close closes the file.
func (a *File) Close() error { return a.source.file.Close() }
