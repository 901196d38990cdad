package synth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/daguerre-go/daguerre/runtime/modelfile"
)

// writeSafetensors writes the header, padded with spaces to a multiple of eight, and the tensors.
func writeSafetensors(w io.Writer, items []item, meta map[string]string, f *filler) error {
	type entry struct {
		DType   modelfile.DType `json:"dtype"`
		Shape   []int64         `json:"shape"`
		Offsets [2]int64        `json:"data_offsets"`
	}
	var head bytes.Buffer
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	fmt.Fprintf(&head, `{"__metadata__":%s`, text)
	var at int64
	for _, it := range items {
		text, err := json.Marshal(entry{it.dtype, it.Shape, [2]int64{at, at + it.size}})
		if err != nil {
			return err
		}
		fmt.Fprintf(&head, ",%q:%s", it.full, text)
		at += it.size
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(head.Len())); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	return fillAll(w, items, f)
}

func fillAll(w io.Writer, items []item, f *filler) error {
	for _, it := range items {
		if err := f.fill(w, it); err != nil {
			return fmt.Errorf("%s: %w", it.full, err)
		}
	}
	return nil
}

var ggmlType = map[modelfile.DType]uint32{modelfile.F32: 0, modelfile.F16: 1, modelfile.BF16: 30}

const ggufAlignment = 32

// writeGGUF writes version 3, dimensions reversed, every tensor aligned to 32 bytes.
func writeGGUF(w io.Writer, items []item, meta map[string]string, f *filler) error {
	var head bytes.Buffer
	num := func(v any) { _ = binary.Write(&head, binary.LittleEndian, v) }
	str := func(s string) { num(uint64(len(s))); head.WriteString(s) }
	head.WriteString("GGUF")
	num(uint32(3))
	num(uint64(len(items)))
	num(uint64(len(meta) + 1))
	str("general.alignment")
	num(uint32(4)) // uint32
	num(uint32(ggufAlignment))
	for _, k := range sortedKeys(meta) {
		str(k)
		num(uint32(8)) // string
		str(meta[k])
	}
	var at int64
	for _, it := range items {
		str(it.full)
		num(uint32(len(it.Shape)))
		for d := len(it.Shape) - 1; d >= 0; d-- {
			num(uint64(it.Shape[d]))
		}
		num(ggmlType[it.dtype])
		num(uint64(at))
		at += align(it.size)
	}
	head.Write(make([]byte, align(int64(head.Len()))-int64(head.Len())))
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for _, it := range items {
		if err := f.fill(w, it); err != nil {
			return fmt.Errorf("%s: %w", it.full, err)
		}
		if _, err := w.Write(make([]byte, align(it.size)-it.size)); err != nil {
			return err
		}
	}
	return nil
}

func align(n int64) int64 { return (n + ggufAlignment - 1) / ggufAlignment * ggufAlignment }

var torchStorage = map[modelfile.DType]string{modelfile.F32: "FloatStorage", modelfile.F16: "HalfStorage",
	modelfile.BF16: "BFloat16Storage", modelfile.I64: "LongStorage"}

// writeTorch writes torch.save's zip of {"state_dict": {...}}, each tensor as a storage of its own.
func writeTorch(w io.Writer, items []item, meta map[string]string, f *filler) error {
	z := zip.NewWriter(w)
	create := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
	}
	small := []struct{ name, text string }{{"data.pkl", torchPickle(items, meta)}, {"byteorder", "little"}, {"version", "3\n"}}
	for _, s := range small {
		e, err := create(s.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(e, s.text); err != nil {
			return err
		}
	}
	for i, it := range items {
		e, err := create(fmt.Sprintf("data/%d", i))
		if err != nil {
			return err
		}
		if err := f.fill(e, it); err != nil {
			return fmt.Errorf("%s: %w", it.full, err)
		}
	}
	return z.Close()
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
	for _, k := range sortedKeys(meta) {
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
