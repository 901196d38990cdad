package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// MergeReport tells what a ControlNet was made of, in tensors.
type MergeReport struct {
	Tensors int `json:"tensors"`
	Own     int `json:"own"`     // the Control-LoRA's
	Shared  int `json:"shared"`  // the model's, as they are
	Changed int `json:"changed"` // the model's with a product added
}

// MergeOptions is how a ControlNet is made of a Control-LoRA.
type MergeOptions struct {
	Type     modelfile.DType         // of the tensors that are written: F32, F16 or BF16
	Progress func(done, total int64) // if not nil: the bytes that are written so far, and all
}

// merged is a tensor of the ControlNet that is written, and what it is made of.
type merged struct {
	spec     modelfile.Spec
	own      bool
	base     *modelfile.Used
	up, down *modelfile.Tensor
}

// controlLoRAMarker is a tensor without a meaning that Stability's files have.
const controlLoRAMarker = "lora_controlnet"

// MergeControlLoRA writes the ControlNet that a Control-LoRA makes of a model's UNet: its own tensors, and the UNet's with up x down added.
// The file is in the original layout. Products are summed in float64. Cancelling ctx stops it between two tensors; whatever stops it,
// nothing is left behind.
func MergeControlLoRA(ctx context.Context, lora, base, out string, opt MergeOptions) (report *MergeReport, err error) {
	dtype := opt.Type
	if !slices.Contains([]modelfile.DType{modelfile.F32, modelfile.F16, modelfile.BF16}, dtype) {
		return nil, fmt.Errorf("%w: type %q; known are F32, F16 and BF16", ErrOptions, dtype)
	}
	f, err := modelfile.Open(lora)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	c, err := modelfile.OpenAll(base)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	err = fault.Catch(func() {
		fault.Check(c.Check())
		m := &merger{ctx: ctx, lora: f, base: c, dtype: dtype, progress: opt.Progress}
		m.plan()
		report = &m.report
		var tensors []writer.Tensor
		var bytes int64
		for _, t := range m.tensors {
			size := elements(t.spec.Shape) * width(dtype)
			tensors = append(tensors, writer.Tensor{Name: t.spec.Name, DType: dtype, Shape: t.spec.Shape, Size: size})
			bytes += size
		}
		fault.Check(disk.CheckSpace(filepath.Dir(out), bytes))
		m.bytes = bytes
		meta := map[string]string{"format": "pt"}
		config := modelfile.Config{UNet: fault.Value(c.Config()).UNet}
		if text := fault.Value(config.MarshalMetadata()); text != "{}" {
			meta[modelfile.MetadataKey] = text
		}
		fault.Check(writer.Atomically(out, func(w io.Writer) error {
			return fault.Catch(func() { m.write(w, tensors, meta) })
		}, nil))
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

type merger struct {
	ctx     context.Context
	lora    *modelfile.File
	base    *modelfile.Collection
	dtype   modelfile.DType
	tensors []merged
	report  MergeReport

	bytes    int64 // of all tensors that are written
	progress func(done, total int64)
}

func (m *merger) fail(format string, args ...any) {
	fault.Check(fmt.Errorf("%s: %w: %s", m.lora.Path, ErrControlLoRA, fmt.Sprintf(format, args...)))
}

// plan finds out what each tensor of the ControlNet is made of. All that the Control-LoRA has must be used.
func (m *merger) plan() {
	if m.base.Dims.UNet == nil {
		m.fail("%s has no UNet that it changes", m.base.Files[0].Path)
	}
	dims := modelfile.ControlNetDims{UNet: *m.base.Dims.UNet}
	dims.UNet.OutChannels, dims.UNet.UpDepth = 0, nil
	for i := 0; ; i += 2 {
		t, ok := m.lora.Tensor(fmt.Sprintf("input_hint_block.%d.weight", i))
		if !ok || len(t.Shape) != 4 {
			break
		}
		dims.HintChannels = append(dims.HintChannels, int(t.Shape[0]))
	}
	if len(dims.HintChannels) < 2 {
		m.fail("it has no network for the control picture (input_hint_block)")
	}
	dims.HintChannels = dims.HintChannels[:len(dims.HintChannels)-1]
	shared := map[string]*modelfile.Used{}
	for i := range m.base.Tensors {
		for _, part := range m.base.Tensors[i].Canonical {
			shared[part.Name] = &m.base.Tensors[i]
		}
	}
	used := map[string]bool{controlLoRAMarker: true}
	for _, s := range (modelfile.Dims{ControlNet: &dims}).Specs("controlnet", modelfile.LayoutOriginal) {
		t := merged{spec: s}
		if own, ok := m.lora.Tensor(s.Name); ok {
			t.own, used[s.Name] = true, true
			m.fits(s, own.Name, own.Shape)
		} else if b := shared["unet."+strings.TrimPrefix(s.Canonical[0].Name, "controlnet.")]; b != nil {
			t.base = b
			m.fits(s, b.Unique, b.Shape)
		} else {
			m.fail("%s is missing, and the model has none", s.Name)
		}
		if stem, ok := strings.CutSuffix(s.Name, ".weight"); ok {
			up, hasUp := m.lora.Tensor(stem + ".up")
			down, hasDown := m.lora.Tensor(stem + ".down")
			if hasUp != hasDown {
				m.fail("of %s.up and %s.down, one is missing", stem, stem)
			}
			if hasUp {
				t.up, t.down = &up, &down
				used[up.Name], used[down.Name] = true, true
				m.product(s, up, down)
			}
		}
		m.count(t)
		m.tensors = append(m.tensors, t)
	}
	for _, t := range m.lora.Tensors {
		if !used[t.Name] {
			m.fail("%s is a tensor that the model's ControlNet has no place for; is it for another model?", t.Name)
		}
	}
}

// count adds a tensor to the report.
func (m *merger) count(t merged) {
	m.report.Tensors++
	switch {
	case t.up != nil:
		m.report.Changed++
	case t.own:
		m.report.Own++
	default:
		m.report.Shared++
	}
}

func (m *merger) fits(s modelfile.Spec, name string, shape []int64) {
	if elements(shape) != elements(s.Shape) || len(shape) == 0 || shape[0] != s.Shape[0] {
		m.fail("%s has the shape %v; %v is wanted: it is for another model", name, shape, s.Shape)
	}
}

// product checks that up [out, rank, ...] and down [rank, in, ...] make a tensor.
func (m *merger) product(s modelfile.Spec, up, down modelfile.Tensor) {
	rows := s.Shape[0]
	if len(up.Shape) < 2 || len(down.Shape) < 2 || up.Shape[0] != rows || elements(up.Shape) != rows*down.Shape[0] ||
		elements(down.Shape) != down.Shape[0]*s.FanIn() {
		m.fail("%s of %v and %s of %v do not make a tensor of %v: it is for another model", up.Name, up.Shape, down.Name, down.Shape, s.Shape)
	}
}

func (m *merger) write(w io.Writer, tensors []writer.Tensor, meta map[string]string) {
	fault.Check(writer.Header(w, modelfile.FormatSafetensors, tensors, meta))
	done := int64(0)
	for _, t := range m.tensors {
		fault.Check(m.ctx.Err())
		var values []float32
		if t.own {
			values = fault.Value(m.lora.ReadFloat32(t.spec.Name))
		} else {
			values = fault.Value(t.base.File.ReadFloat32(t.base.Name))
		}
		if t.up != nil {
			addProduct(values, fault.Value(m.lora.ReadFloat32(t.up.Name)), fault.Value(m.lora.ReadFloat32(t.down.Name)), int(t.spec.Shape[0]),
				int(t.down.Shape[0]))
		}
		data := m.encode(t.spec.Name, values)
		_, err := w.Write(data)
		fault.Check(err)
		if done += int64(len(data)); m.progress != nil {
			m.progress(done, m.bytes)
		}
	}
}

// addProduct adds up [rows, rank] x down [rank, columns] to values, on all cores: SDXL's products are 10^11 multiplications.
func addProduct(values, up, down []float32, rows, rank int) {
	columns, parts := len(down)/rank, min(runtime.GOMAXPROCS(0), rows)
	var all sync.WaitGroup
	for part := range parts {
		all.Go(func() {
			sum := make([]float64, columns)
			for row := rows * part / parts; row < rows*(part+1)/parts; row++ {
				clear(sum)
				for k := range rank {
					factor := float64(up[row*rank+k])
					for i, v := range down[k*columns : (k+1)*columns] {
						sum[i] += factor * float64(v)
					}
				}
				for i, v := range sum {
					values[row*columns+i] += float32(v)
				}
			}
		})
	}
	all.Wait()
}

func (m *merger) encode(name string, values []float32) []byte {
	out := make([]byte, 0, int64(len(values))*width(m.dtype))
	for _, v := range values {
		switch m.dtype {
		case modelfile.F32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		case modelfile.F16:
			if a := math.Abs(float64(v)); a > 65504 {
				fault.Check(fmt.Errorf("%w: %s has %v, which F16 cannot hold; choose BF16 or F32", ErrValue, name, v))
			}
			out = binary.LittleEndian.AppendUint16(out, modelfile.Float32ToHalf(v))
		default:
			out = binary.LittleEndian.AppendUint16(out, modelfile.Float32ToBFloat16(v))
		}
	}
	return out
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func width(t modelfile.DType) int64 {
	if t == modelfile.F32 {
		return 4
	}
	return 2
}
