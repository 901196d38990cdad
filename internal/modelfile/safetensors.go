package modelfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// readSafetensors reads the layout of https://github.com/huggingface/safetensors: eight bytes of
// header length (little endian), a JSON object name -> {dtype, shape, data_offsets}, and the data.
func (f *File) readSafetensors(r io.ReaderAt) {
	const field = "header length"
	if f.Size < 8 {
		panic(fail(ErrTruncated, "", "download it again", "the file has %s, too few for any model format", plural(f.Size, "byte")))
	}
	var b [8]byte
	fault.Value(r.ReadAt(b[:], 0))
	n := littleEndian(b[:])
	if n > MaxHeaderBytes {
		panic(fail(ErrLimit, field, "not a safetensors file, or a damaged one: download it again",
			"%s bytes, at most %s are read", group(n), group(MaxHeaderBytes)))
	}
	f.reserve(fmt.Sprintf("header of %s bytes", group(n)), 8, int64(n))
	if n < 2 {
		panic(fail(ErrFormat, field, remedyDownload, "%d bytes cannot hold a JSON object", n))
	}
	head := make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != io.EOF {
		fault.Check(err)
	}
	if !utf8.Valid(head) {
		panic(fail(ErrFormat, "header", remedyDownload, "not valid UTF-8"))
	}
	p := &safetensorsHeader{json: newJSONReader(head), file: f, base: 8 + int64(n)}
	p.json.object("header", func(name string) {
		if name == "__metadata__" {
			p.metadata()
			return
		}
		if len(f.Tensors) == MaxTensors {
			panic(fail(ErrLimit, "header", remedyDownload, "more than %s tensors", group(MaxTensors)))
		}
		p.tensor(name)
	})
	p.json.end("header")
	if end := f.placeData(p.base); len(f.Tensors) > 0 && end > 0 && end < f.Size {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s bytes after the last tensor belong to nothing", group(f.Size-end)))
	}
}

// typeName is the form of a type's name, also of an unknown type.
var typeName = regexp.MustCompile(`^[A-Za-z0-9_]{1,32}$`)

type safetensorsHeader struct {
	json *jsonReader
	file *File
	base int64 // of the data in the file
}

func (p *safetensorsHeader) metadata() {
	if p.file.Metadata != nil {
		panic(fail(ErrFormat, "__metadata__", remedyDownload, "occurs twice"))
	}
	p.file.Metadata = map[string]string{}
	p.json.object("__metadata__", func(key string) {
		if _, dup := p.file.Metadata[key]; dup {
			panic(fail(ErrFormat, "__metadata__."+quoteName(key), remedyDownload, "the key occurs twice"))
		}
		tok := p.json.next("__metadata__." + key)
		s, ok := tok.(string)
		if !ok {
			panic(fail(ErrFormat, "__metadata__."+quoteName(key), "metadata values are strings", "found %s", jsonKind(tok)))
		}
		p.file.Metadata[key] = s
	})
}

// tensor reads one entry and checks type, shape and offsets against each other; its Offset is still relative to the data.
func (p *safetensorsHeader) tensor(name string) {
	field := tensorField(name)
	bad := func(place, format string, args ...any) {
		panic(fail(ErrFormat, field+place, remedyDownload, format, args...))
	}
	t := Tensor{Name: name}
	var offsets []int64
	seen := map[string]bool{}
	p.json.object(field, func(key string) {
		switch key {
		case "dtype":
			tok := p.json.next(field + " dtype")
			s, ok := tok.(string)
			if !ok {
				bad(" dtype", "found %s instead of a string", jsonKind(tok))
			}
			t.DType = DType(s)
		case "shape":
			t.Shape = p.json.integers(field+" shape", MaxDims)
		case "data_offsets":
			offsets = p.json.integers(field+" data_offsets", 2)
		default:
			p.json.skip(field + " " + quoteName(key))
			return
		}
		if seen[key] {
			bad("", "%q occurs twice", key)
		}
		seen[key] = true
	})
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			bad("", "%q is missing", key)
		}
	}
	if len(offsets) != 2 {
		bad(" data_offsets", "%d numbers instead of 2", len(offsets))
	}
	begin, end := offsets[0], offsets[1]
	if begin > end {
		bad(" data_offsets", "begin %s lies after end %s", group(begin), group(end))
	}
	if !t.DType.Known() { // an error where the tensor is used
		if !typeName.MatchString(string(t.DType)) {
			bad(" dtype", "%s is no name of a type", quoteName(string(t.DType)))
		}
		checkShape(name, t.Shape)
		t.Size = end - begin
	} else if t.Size = checkTensor(name, t.DType, t.Shape); end-begin != t.Size {
		bad(" data_offsets", "%s bytes, but %s of %s needs %s", group(end-begin), t.DType, shapeString(t.Shape), group(t.Size))
	}
	t.Offset = begin
	p.file.Tensors = append(p.file.Tensors, t)
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

func (j *jsonReader) next(field string) json.Token {
	tok, err := j.dec.Token()
	if err != nil {
		what := err.Error()
		if err == io.EOF {
			what = "the text ends too early"
		}
		panic(fail(ErrFormat, field, remedyDownload, "bad JSON at byte %s: %s", group(j.dec.InputOffset()), what))
	}
	switch tok {
	case json.Delim('{'), json.Delim('['):
		if j.depth++; j.depth > MaxJSONDepth {
			panic(fail(ErrLimit, field, remedyDownload, "JSON nested deeper than %d", MaxJSONDepth))
		}
	case json.Delim('}'), json.Delim(']'):
		j.depth--
	}
	return tok
}

// object reads an object and calls visit before each value, which visit must read.
func (j *jsonReader) object(field string, visit func(key string)) {
	if tok := j.next(field); tok != json.Delim('{') {
		panic(fail(ErrFormat, field, remedyDownload, "found %s instead of a JSON object", jsonKind(tok)))
	}
	for tok := j.next(field); tok != json.Delim('}'); tok = j.next(field) {
		visit(tok.(string))
	}
}

// integers reads an array of at most most non-negative integers.
func (j *jsonReader) integers(field string, most int) []int64 {
	if tok := j.next(field); tok != json.Delim('[') {
		panic(fail(ErrFormat, field, remedyDownload, "found %s instead of a list of integers", jsonKind(tok)))
	}
	out := []int64{}
	for tok := j.next(field); tok != json.Delim(']'); tok = j.next(field) {
		num, ok := tok.(json.Number)
		if !ok {
			panic(fail(ErrFormat, field, remedyDownload, "found %s instead of an integer", jsonKind(tok)))
		}
		v, err := strconv.ParseInt(num.String(), 10, 64)
		if err != nil || v < 0 {
			panic(fail(ErrFormat, field, remedyDownload, "found %s instead of an integer from 0 to 2^63-1", quoteName(num.String())))
		}
		if len(out) == most {
			panic(fail(ErrLimit, field, remedyDownload, "more than %d numbers", most))
		}
		out = append(out, v)
	}
	return out
}

// skip reads and drops one value.
func (j *jsonReader) skip(field string) {
	for start := j.depth; ; {
		if j.next(field); j.depth <= start {
			return
		}
	}
}

// end makes sure that only white space follows.
func (j *jsonReader) end(field string) {
	if _, err := j.dec.Token(); err != io.EOF {
		panic(fail(ErrFormat, field, remedyDownload, "text follows the JSON object at byte %s", group(j.dec.InputOffset())))
	}
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
