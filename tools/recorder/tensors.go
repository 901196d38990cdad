package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
)

// tensor is a tensor of a safetensors file.
type tensor struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
	data    []byte
}

func floatTensor(shape []int, values []float32) tensor {
	t := tensor{DType: "F32", Shape: shape}
	for _, v := range values {
		t.data = binary.LittleEndian.AppendUint32(t.data, math.Float32bits(v))
	}
	return t
}

// readTensors reads a safetensors file that this repository has made.
func readTensors(path string) (map[string]tensor, json.RawMessage, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if len(data) < 8 || binary.LittleEndian.Uint64(data) > uint64(len(data)-8) {
		return nil, nil, fmt.Errorf("%s is no safetensors file", path)
	}
	n := int(binary.LittleEndian.Uint64(data))
	header, body := map[string]json.RawMessage{}, data[8+n:]
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	out := map[string]tensor{}
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var t tensor
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		t.data = body[t.Offsets[0]:t.Offsets[1]]
		out[name] = t
	}
	return out, header["__metadata__"], nil
}

// writeTensors writes a safetensors file.
func writeTensors(path string, tensors map[string]tensor, metadata json.RawMessage) error {
	header := map[string]any{}
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	var body []byte
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		t.Offsets = [2]int{len(body), len(body) + len(t.data)}
		body = append(body, t.data...)
		header[name] = t
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return os.WriteFile(path, append(append(out, text...), body...), 0o600)
}

// halfOf rounds a number to float16, to even where it lies in the middle. It is made for numbers below 65504.
func halfOf(x float32) uint16 {
	sign := uint16(math.Float32bits(x) >> 16 & 0x8000)
	size := math.Abs(float64(x))
	if size < 0x1p-14 { // subnormal
		return sign | uint16(math.RoundToEven(size*0x1p24))
	}
	_, exponent := math.Frexp(size) // size is below 1 << exponent
	mantissa := math.RoundToEven(size * math.Ldexp(1, 11-exponent))
	return sign + uint16(exponent+13)<<10 + uint16(mantissa)
}
