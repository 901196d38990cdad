package modelfile

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const oneTensor = `{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}`

func TestSafetensors(t *testing.T) {
	f, err := open("m.safetensors", stFile(`{"b":{"dtype":"F16","shape":[],"data_offsets":[24,26]},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24],"extra":[{"x":1}]},`+
		`"e":{"dtype":"BF16","shape":[0,4],"data_offsets":[26,26]},"__metadata__":{"k":"v"}}   `, 26))
	require.NoError(t, err)
	assert.Equal(t, FormatSafetensors, f.Format)
	assert.Equal(t, map[string]string{"k": "v"}, f.Metadata)
	assert.Equal(t, "b F16 []; a F32 [2 3]; e BF16 [0 4]; ", shapesOf(f))
	a, ok := f.Tensor("a")
	require.True(t, ok)
	assert.Equal(t, f.Size-26, a.Offset)
	assert.Equal(t, int64(24), a.Size)
	raw, err := f.ReadRaw("b")
	require.NoError(t, err)
	assert.Equal(t, []byte{24, 25}, raw)
	assert.Empty(t, f.Warnings)

	f, err = open("m.safetensors", stFile(oneTensor, 30))
	require.NoError(t, err)
	require.Len(t, f.Warnings, 1)
	assert.Contains(t, f.Warnings[0], "6 bytes after the last tensor")
}

func TestSafetensorsRefuses(t *testing.T) {
	ten := func(fields string) []byte { return stFile(`{"a":{`+fields+`}}`, 24) }
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), "{}  "...) }
	for _, c := range []struct {
		name string
		b    []byte
		kind error
		says []string
	}{
		{"empty", nil, ErrTruncated, []string{"empty", "download it again"}},
		{"one byte", []byte{7}, ErrTruncated, []string{"1 byte,"}},
		{"seven bytes", make([]byte, 7), ErrTruncated, []string{"7 bytes"}},
		{"header length 2^63", length(1 << 63), ErrLimit, []string{"header length", "9,223,372,036,854,775,808", "100,000,000"}},
		{"header length 2^64-1", length(1<<64 - 1), ErrLimit, []string{"header length"}},
		{"header beyond the file", length(1000), ErrTruncated, []string{"996 bytes are missing", "download it again"}},
		{"header length 0", length(0), ErrFormat, []string{"header length"}},
		{"truncated data", stFile(oneTensor, 13), ErrTruncated, []string{`tensor "a"`, "11 bytes are missing", "download it again"}},
		{"one byte missing", stFile(oneTensor, 23), ErrTruncated, []string{"1 byte is missing"}},
		{"bad JSON", stFile(`{"a":}`, 0), ErrFormat, []string{`tensor "a"`, "bad JSON"}},
		{"cut JSON", stFile(`{"a":{"dtype":"F32"`, 0), ErrFormat, []string{"ends too early"}},
		{"text behind the JSON", stFile(`{} {}`, 0), ErrFormat, []string{"text follows"}},
		{"invalid UTF-8", stFile("{\"\xff\":1}", 0), ErrFormat, []string{"UTF-8"}},
		{"deep JSON", ten(`"x":` + strings.Repeat("[", 100)), ErrLimit, []string{"nested deeper than 64"}},
		{"tensor is no object", stFile(`{"a":3}`, 0), ErrFormat, []string{`tensor "a"`, "the number"}},
		{"dtype missing", ten(`"shape":[6],"data_offsets":[0,24]`), ErrFormat, []string{`"dtype" is missing`}},
		{"shape missing", ten(`"dtype":"F32","data_offsets":[0,24]`), ErrFormat, []string{`"shape" is missing`}},
		{"offsets missing", ten(`"dtype":"F32","shape":[6]`), ErrFormat, []string{`"data_offsets" is missing`}},
		{"dtype of other signs", ten(`"dtype":"F\u001b99","shape":[6],"data_offsets":[0,24]`), ErrFormat, []string{"dtype", "no name of a type"}},
		{"unknown dtype of a shape that overflows", ten(`"dtype":"F99","shape":[4294967296,4294967296],"data_offsets":[0,24]`), ErrFormat,
			[]string{"overflows"}},
		{"dtype no string", ten(`"dtype":32,"shape":[6],"data_offsets":[0,24]`), ErrFormat, []string{"dtype", "the number"}},
		{"shape does not fit", ten(`"dtype":"F32","shape":[7],"data_offsets":[0,24]`), ErrFormat, []string{"24 bytes", "needs 28"}},
		{"shape overflows", ten(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,24]`), ErrFormat, []string{"overflows"}},
		{"negative dimension", ten(`"dtype":"F32","shape":[-1],"data_offsets":[0,24]`), ErrFormat, []string{`"-1"`}},
		{"fractional dimension", ten(`"dtype":"F32","shape":[1.5],"data_offsets":[0,24]`), ErrFormat, []string{`"1.5"`}},
		{"huge dimension", ten(`"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,24]`), ErrFormat, []string{"2^63-1"}},
		{"nine dimensions", ten(`"dtype":"F32","shape":[1,1,1,1,1,1,1,1,6],"data_offsets":[0,24]`), ErrLimit, []string{"more than 8"}},
		{"offsets reversed", ten(`"dtype":"F32","shape":[6],"data_offsets":[24,0]`), ErrFormat, []string{"lies after end"}},
		{"three offsets", ten(`"dtype":"F32","shape":[6],"data_offsets":[0,24,25]`), ErrLimit, []string{"data_offsets"}},
		{"one offset", ten(`"dtype":"F32","shape":[6],"data_offsets":[0]`), ErrFormat, []string{"1 numbers instead of 2"}},
		{"key twice", ten(`"dtype":"F32","dtype":"F32","shape":[6],"data_offsets":[0,24]`), ErrFormat, []string{"occurs twice"}},
		{"name twice", stFile(`{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}`, 24), ErrFormat, []string{`tensor "a"`, "occurs twice"}},
		{"overlap", stFile(`{"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]},"b":{"dtype":"F32","shape":[1],"data_offsets":[20,24]}}`, 24), ErrFormat, []string{`tensor "b"`, "overlaps", `"a"`}},
		{"metadata twice", stFile(`{"__metadata__":{},"__metadata__":{}}`, 0), ErrFormat, []string{"twice"}},
		{"metadata no string", stFile(`{"__metadata__":{"a":1}}`, 0), ErrFormat, []string{"strings"}},
		{"long name", stFile(`{"`+strings.Repeat("n", 2000)+`":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}`, 24), ErrLimit, []string{"2,000 bytes"}},
		{"quantized row", ten(`"dtype":"Q8_0","shape":[6],"data_offsets":[0,24]`), ErrFormat, []string{"does not go with type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open("dir/m.safetensors", c.b)
			requireError(t, err, c.kind, append(c.says, "dir/m.safetensors")...)
		})
	}
}

// What a reader allocates in all (garbage included) is bounded by the header's own size and a constant.
func TestHostileHeadersUseLittleMemory(t *testing.T) {
	var many strings.Builder
	many.WriteByte('{')
	for i := range MaxTensors + 10 {
		fmt.Fprintf(&many, `"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`, i)
	}
	header := many.String()
	header = header[:len(header)-1] + "}"
	bomb := "\x80\x02]" + pickleBomb() + "."
	for name, b := range map[string][]byte{
		"too many tensors":   stFile(header, 0),
		"lying length":       append(binary.LittleEndian.AppendUint64(nil, MaxHeaderBytes), "{}"...),
		"gguf counts":        newGGUF(1<<40, 1<<40).data(0),
		"gguf array":         newGGUF(0, 1).str("k").num(uint32(9), uint32(4), uint64(1)<<60).data(0),
		"gguf string":        newGGUF(0, 1).str("k").num(uint32(8), uint64(1)<<62).data(0),
		"pickle of lists":    torchZip(bomb, nil),
		"pickle long string": torchZip("\x80\x02X\xff\xff\xff\x7fabc.", nil),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := open("m", b)
			runtime.ReadMemStats(&after)
			if err == nil {
				assert.Empty(t, f.Tensors)
			}
			grown := int64(after.TotalAlloc - before.TotalAlloc)
			assert.Less(t, grown, int64(40*len(b)+128<<20), "allocated %d bytes for a file of %d", grown, len(b))
		})
	}
}

// pickleBomb nests a list in itself forty times twofold: 2^40 leaves in a few hundred bytes.
func pickleBomb() string {
	var b strings.Builder
	b.WriteString("q\x00")
	for i := range 40 {
		fmt.Fprintf(&b, "}(%sh%c%sh%cuq%c", pkStr("a"), rune(i), pkStr("b"), rune(i), rune(i+1))
	}
	return b.String()
}
