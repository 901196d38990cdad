package synth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// tensorsOf lists items as package writer takes them.
func tensorsOf(items []item) []writer.Tensor {
	tensors := make([]writer.Tensor, len(items))
	for i, it := range items {
		tensors[i] = writer.Tensor{Name: it.full, DType: it.dtype, Shape: it.Shape, Size: it.size}
	}
	return tensors
}

// writeFile writes safetensors or GGUF.
func writeFile(w io.Writer, format modelfile.Format, items []item, meta map[string]string, f *filler) error {
	if err := writer.Header(w, format, tensorsOf(items), meta); err != nil {
		return err
	}
	if file, ok := w.(*os.File); ok && f.hollow {
		at, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		return file.Truncate(at + f.total)
	}
	for _, it := range items {
		if err := f.fill(w, it); err != nil {
			return fmt.Errorf("%s: %w", it.full, err)
		}
		if _, err := w.Write(writer.Padding(format, it.size)); err != nil {
			return err
		}
	}
	return nil
}

var torchStorage = map[modelfile.DType]string{modelfile.F32: "FloatStorage", modelfile.F16: "HalfStorage",
	modelfile.BF16: "BFloat16Storage", modelfile.I64: "LongStorage"}

// writeTorch writes torch.save's zip of {"state_dict": {...}}, each tensor as a storage of its own.
func writeTorch(w io.Writer, items []item, meta map[string]string, f *filler) error {
	return fault.Catch(func() {
		z := zip.NewWriter(w)
		create := func(name string) io.Writer {
			return fault.Value(z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store}))
		}
		small := []struct{ name, text string }{{"data.pkl", torchPickle(items, meta)}, {"byteorder", "little"}, {"version", "3\n"}}
		for _, s := range small {
			fault.Value(io.WriteString(create(s.name), s.text))
		}
		for i, it := range items {
			if err := f.fill(create(fmt.Sprintf("data/%d", i)), it); err != nil {
				panic(fmt.Errorf("%s: %w", it.full, err))
			}
		}
		fault.Check(z.Close())
	})
}

// torchPickle writes protocol 2, with the instructions torch.save uses but no memo.
func torchPickle(items []item, meta map[string]string) string {
	var b bytes.Buffer
	str := func(s string) {
		b.WriteByte('X')
		_ = binary.Write(&b, binary.LittleEndian, uint32(len(s)))
		b.WriteString(s)
	}
	num := func(v int64) {
		if v == int64(int32(v)) {
			b.WriteByte('J')
			_ = binary.Write(&b, binary.LittleEndian, int32(v))
			return
		}
		b.WriteString("\x8a\x08")
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("\x80\x02}(")
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		str(k)
		str(meta[k])
	}
	str("state_dict")
	b.WriteString("}(")
	for i, it := range items {
		str(it.full)
		b.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		str("storage")
		b.WriteString("ctorch\n" + torchStorage[it.dtype] + "\n")
		str(fmt.Sprint(i))
		str("cpu")
		num(elements(it.Shape))
		b.WriteString("tQ")
		num(0)
		b.WriteByte('(')
		for _, d := range it.Shape {
			num(d)
		}
		b.WriteString("t(")
		for d := range it.Shape {
			num(elements(it.Shape[d+1:]))
		}
		b.WriteString("t\x89ccollections\nOrderedDict\n)RtR")
	}
	b.WriteString("uu.")
	return b.String()
}
