package writer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// SafetensorsHeader writes the header, padded with spaces to a multiple of eight. The tensors' bytes follow it without gaps.
func SafetensorsHeader(w io.Writer, tensors []Tensor, meta map[string]string) error {
	type entry struct {
		DType   modelfile.DType `json:"dtype"`
		Shape   []int64         `json:"shape"`
		Offsets [2]int64        `json:"data_offsets"`
	}
	var head bytes.Buffer
	if meta == nil {
		meta = map[string]string{} // not null
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	fmt.Fprintf(&head, `{"__metadata__":%s`, text)
	var at int64
	for _, t := range tensors {
		name, err := json.Marshal(t.Name)
		if err != nil {
			return err
		}
		shape := t.Shape
		if shape == nil {
			shape = []int64{}
		}
		text, err := json.Marshal(entry{t.DType, shape, [2]int64{at, at + t.Size}})
		if err != nil {
			return err
		}
		fmt.Fprintf(&head, ",%s:%s", name, text)
		at += t.Size
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(head.Len())); err != nil {
		return err
	}
	_, err = w.Write(head.Bytes())
	return err
}
