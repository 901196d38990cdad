package modelfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// readSafetensors reads the layout of https://github.com/huggingface/safetensors: eight bytes of
// header length (little endian), a JSON object name -> {dtype, shape, data_offsets}, and the data.
func (f *File) readSafetensors(r io.ReaderAt) error {
	const field = "header length"
	if f.Size < 8 {
		return &Error{Kind: ErrTruncated, Remedy: "download it again",
			Found: fmt.Sprintf("the file has %s, too few for any model format", plural(f.Size, "byte"))}
	}
	var b [8]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return err
	}
	n := le64(b[:])
	if n > MaxHeaderBytes {
		return fail(ErrLimit, field, "not a safetensors file, or a damaged one: download it again",
			"%s bytes, at most %s are read", group(n), group(MaxHeaderBytes))
	}
	if int64(n) > f.Size-8 {
		return missing(fmt.Sprintf("header of %s bytes", group(n)), int64(n)-(f.Size-8))
	}
	if n < 2 {
		return fail(ErrFormat, field, remedyDownload, "%d bytes cannot hold a JSON object", n)
	}
	head := make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != nil && err != io.EOF {
		return err
	}
	if !utf8.Valid(head) {
		return fail(ErrFormat, "header", remedyDownload, "not valid UTF-8")
	}
	p := &safetensorsHeader{json: newJSONReader(head), file: f, base: 8 + int64(n), names: map[string]struct{}{}}
	if err := p.read(); err != nil {
		return err
	}
	end, err := checkOverlaps(f.Tensors)
	if err != nil {
		return err
	}
	if len(f.Tensors) > 0 && end > 0 && end < f.Size {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s bytes after the last tensor belong to nothing", group(f.Size-end)))
	}
	return nil
}

type safetensorsHeader struct {
	json  *jsonReader
	file  *File
	base  int64 // of the data in the file
	names map[string]struct{}
	short int64 // bytes by which the worst tensor exceeds the file
	which string
}

func (p *safetensorsHeader) read() error {
	meta := false
	err := p.json.object("header", func(name string) error {
		if name == "__metadata__" {
			if meta {
				return fail(ErrFormat, "__metadata__", remedyDownload, "occurs twice")
			}
			meta = true
			return p.metadata()
		}
		if _, dup := p.names[name]; dup {
			return fail(ErrFormat, tensorField(name), remedyDownload, "the name occurs twice")
		}
		p.names[name] = struct{}{}
		if len(p.file.Tensors) == MaxTensors {
			return fail(ErrLimit, "header", remedyDownload, "more than %s tensors", group(MaxTensors))
		}
		return p.tensor(name)
	})
	if err != nil {
		return err
	}
	if err := p.json.end("header"); err != nil {
		return err
	}
	if p.short > 0 {
		e := missing(tensorField(p.which), p.short)
		e.Found = fmt.Sprintf("its data ends beyond the end of the file (%s bytes): %s", group(p.file.Size), e.Found)
		return e
	}
	return nil
}

func (p *safetensorsHeader) metadata() error {
	p.file.Metadata = map[string]string{}
	return p.json.object("__metadata__", func(key string) error {
		if _, dup := p.file.Metadata[key]; dup {
			return fail(ErrFormat, "__metadata__."+quoteName(key), remedyDownload, "the key occurs twice")
		}
		tok, err := p.json.next("__metadata__." + key)
		if err != nil {
			return err
		}
		s, ok := tok.(string)
		if !ok {
			return fail(ErrFormat, "__metadata__."+quoteName(key), "metadata values are strings", "found %s", jsonKind(tok))
		}
		p.file.Metadata[key] = s
		return nil
	})
}

func (p *safetensorsHeader) tensor(name string) error {
	field := tensorField(name)
	t := Tensor{Name: name, Shape: []int64{}}
	var offsets []int64
	var seen [3]bool
	err := p.json.object(field, func(key string) error {
		var err error
		var slot int
		switch key {
		case "dtype":
			slot = 0
			var tok json.Token
			if tok, err = p.json.next(field + " dtype"); err != nil {
				return err
			}
			s, ok := tok.(string)
			if !ok {
				return fail(ErrFormat, field+" dtype", remedyDownload, "found %s instead of a string", jsonKind(tok))
			}
			t.DType = DType(s)
		case "shape":
			slot = 1
			t.Shape, err = p.json.integers(field+" shape", MaxDims)
		case "data_offsets":
			slot = 2
			offsets, err = p.json.integers(field+" data_offsets", 2)
		default:
			return p.json.skip(field + " " + quoteName(key))
		}
		if err == nil && seen[slot] {
			return fail(ErrFormat, field, remedyDownload, "%q occurs twice", key)
		}
		seen[slot] = true
		return err
	})
	if err != nil {
		return err
	}
	return p.place(t, offsets, seen)
}

// place checks one tensor's type, shape and offsets against each other and the file.
func (p *safetensorsHeader) place(t Tensor, offsets []int64, seen [3]bool) error {
	field := tensorField(t.Name)
	for i, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[i] {
			return fail(ErrFormat, field, remedyDownload, "%q is missing", key)
		}
	}
	if !t.DType.Known() {
		return fail(ErrUnsupported, field+" dtype", "known are F64, F32, F16, BF16, F8_E4M3, F8_E5M2, the integers and BOOL",
			"unknown type %s", quoteName(string(t.DType)))
	}
	size, err := checkTensor(t.Name, t.DType, t.Shape)
	if err != nil {
		return err
	}
	if len(offsets) != 2 {
		return fail(ErrFormat, field+" data_offsets", remedyDownload, "%d numbers instead of 2", len(offsets))
	}
	begin, end := offsets[0], offsets[1]
	if begin > end {
		return fail(ErrFormat, field+" data_offsets", remedyDownload, "begin %s lies after end %s", group(begin), group(end))
	}
	if end-begin != size {
		return fail(ErrFormat, field+" data_offsets", remedyDownload, "%s bytes, but %s of %s needs %s",
			group(end-begin), t.DType, shapeString(t.Shape), group(size))
	}
	if room := p.file.Size - p.base; end > room {
		if over := end - room; over > p.short {
			p.short, p.which = over, t.Name
		}
	}
	t.Offset, t.Size = p.base+begin, size
	p.file.Tensors = append(p.file.Tensors, t)
	return nil
}

// jsonReader reads JSON token by token with a limit on depth.
type jsonReader struct {
	dec   *json.Decoder
	depth int
}

func newJSONReader(data []byte) *jsonReader {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return &jsonReader{dec: dec}
}

func (j *jsonReader) next(field string) (json.Token, error) {
	tok, err := j.dec.Token()
	if err != nil {
		what := err.Error()
		if err == io.EOF {
			what = "the text ends too early"
		}
		return nil, fail(ErrFormat, field, remedyDownload, "bad JSON at byte %s: %s", group(j.dec.InputOffset()), what)
	}
	switch tok {
	case json.Delim('{'), json.Delim('['):
		if j.depth++; j.depth > MaxJSONDepth {
			return nil, fail(ErrLimit, field, remedyDownload, "JSON nested deeper than %d", MaxJSONDepth)
		}
	case json.Delim('}'), json.Delim(']'):
		j.depth--
	}
	return tok, nil
}

// object reads an object and calls visit before each value, which visit must read.
func (j *jsonReader) object(field string, visit func(key string) error) error {
	tok, err := j.next(field)
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return fail(ErrFormat, field, remedyDownload, "found %s instead of a JSON object", jsonKind(tok))
	}
	for {
		tok, err := j.next(field)
		if err != nil {
			return err
		}
		if tok == json.Delim('}') {
			return nil
		}
		if err := visit(tok.(string)); err != nil {
			return err
		}
	}
}

// integers reads an array of at most most non-negative integers.
func (j *jsonReader) integers(field string, most int) ([]int64, error) {
	tok, err := j.next(field)
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('[') {
		return nil, fail(ErrFormat, field, remedyDownload, "found %s instead of a list of integers", jsonKind(tok))
	}
	out := []int64{}
	for {
		tok, err := j.next(field)
		if err != nil {
			return nil, err
		}
		if tok == json.Delim(']') {
			return out, nil
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fail(ErrFormat, field, remedyDownload, "found %s instead of an integer", jsonKind(tok))
		}
		v, err := strconv.ParseInt(num.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, fail(ErrFormat, field, remedyDownload, "found %s instead of an integer from 0 to 2^63-1", quoteName(num.String()))
		}
		if len(out) == most {
			return nil, fail(ErrLimit, field, remedyDownload, "more than %d numbers", most)
		}
		out = append(out, v)
	}
}

// skip reads and drops one value.
func (j *jsonReader) skip(field string) error {
	start := j.depth
	for {
		if _, err := j.next(field); err != nil {
			return err
		}
		if j.depth <= start {
			return nil
		}
	}
}

// end makes sure that only white space follows.
func (j *jsonReader) end(field string) error {
	if _, err := j.dec.Token(); err != io.EOF {
		return fail(ErrFormat, field, remedyDownload, "text follows the JSON object at byte %s", group(j.dec.InputOffset()))
	}
	return nil
}

func jsonKind(tok json.Token) string {
	switch v := tok.(type) {
	case string:
		return "the string " + quoteName(v)
	case json.Number:
		return "the number " + quoteName(v.String())
	case bool:
		return fmt.Sprintf("%t", v)
	case json.Delim:
		if v == '{' {
			return "an object"
		}
		return "a list"
	}
	return "null"
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return group(n) + " " + word + "s"
}
