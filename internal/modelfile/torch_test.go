package modelfile

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// torchZip makes a PyTorch archive of a pickle and storages.
func torchZip(program string, storages map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		_, _ = w.Write(data)
	}
	add("archive/data.pkl", []byte(program))
	for k, v := range storages {
		add("archive/data/"+k, v)
	}
	_ = z.Close()
	return b.Bytes()
}

// The files under testdata/torch were written by torch (see make.py).
func TestTorchWritten(t *testing.T) {
	grid := []float32{-0.5, -0.25, 0, 0.25, 0.5, 0.75}
	want := map[string][]float32{"x.a": grid, "x.b": grid, "x.c": grid, "x.d": grid, "x.i": {0, 1, 2, 3, 4}, "x.t": {0, 3, 1, 4, 2, 5},
		"x.v": {3, 4, 5, 6}, "x.p": {1, 1}, "x.s": {3.5}, "x.f8": {1, -2, 448}}
	for file, format := range map[string]Format{"ck.ckpt": FormatTorchZip, "legacy.pt": FormatTorchLegacy} {
		f, err := Open(filepath.Join("testdata/torch", file))
		require.NoError(t, err)
		defer f.Close()
		assert.Equal(t, format, f.Format)
		for name, values := range want {
			if name == "x.f8" && format == FormatTorchLegacy {
				continue // torch's legacy format has no 8-bit floats
			}
			got, err := f.ReadFloat32(name)
			require.NoError(t, err)
			assert.Equal(t, values, got, name)
		}
		strided, _ := f.Tensor("x.t")
		assert.False(t, strided.Contiguous())
	}
	f, err := Open("testdata/torch/ck.ckpt")
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, map[string]string{"epoch": "3", "name": "n"}, f.Metadata)
	o, err := Open("testdata/torch/opt.pt")
	require.NoError(t, err)
	defer o.Close()
	assert.Equal(t, "weight F32 [2 2]; bias F32 [2]; ", shapesOf(o), "the optimizer's tensors are left out")
}

func TestTorchRefusesCode(t *testing.T) {
	for file, says := range map[string][]string{
		"evil.pt":        {"posix.system", "nothing was run"},
		"evil_legacy.pt": {"posix.system", "nothing was run"},
		"module.pth":     {"torch.nn.modules.linear.Linear", "state_dict()"},
	} {
		_, err := Open(filepath.Join("testdata/torch", file))
		requireError(t, err, ErrUnsafePickle, append(says, file)...)
	}
	_, err := Open("testdata/torch/ts.pt")
	requireError(t, err, ErrUnsupported, "TorchScript")
}

func TestPickleAttacks(t *testing.T) {
	for _, c := range []struct {
		name, program string
		kind          error
		says          string
	}{
		{"os.system", "\x80\x02cposix\nsystem\n(" + pkStr("x") + "tR.", ErrUnsafePickle, "posix.system"},
		{"builtins.eval", "\x80\x02cbuiltins\neval\n(" + pkStr("x") + "tR.", ErrUnsafePickle, "builtins.eval"},
		{"getattr", "\x80\x02cbuiltins\ngetattr\n.", ErrUnsafePickle, "builtins.getattr"},
		{"stack global", "\x80\x04\x8c\x02os\x8c\x06system\x93.", ErrUnsafePickle, "os.system"},
		{"only named, never called", "\x80\x02}" + pkStr("a") + "csubprocess\nPopen\ns.", ErrUnsafePickle, "subprocess.Popen"},
		{"torch's own loader", "\x80\x02ctorch\nload\n.", ErrUnsafePickle, "torch.load"},
		{"bytes loader", "\x80\x02ctorch.storage\n_load_from_bytes\n.", ErrUnsafePickle, "_load_from_bytes"},
		{"INST", "(iposix\nsystem\n.", ErrUnsafePickle, "0x69"},
		{"OBJ", "\x80\x02(]o.", ErrUnsafePickle, "0x6f"},
		{"EXT1", "\x80\x02\x82\x01.", ErrUnsafePickle, "0x82"},
		{"NEWOBJ_EX", "\x80\x04]]]\x92.", ErrUnsafePickle, "0x92"},
		{"calling a list", "\x80\x02])R.", ErrFormat, "no known name"},
		{"calling a storage class", "\x80\x02ctorch\nFloatStorage\n)R.", ErrFormat, "calls torch.FloatStorage"},
		{"NEWOBJ of a storage class", "\x80\x02ctorch\nFloatStorage\n)\x81.", ErrFormat, "calls"},
		{"protocol 0", "I1\n.", ErrUnsupported, "0x49"},
		{"unknown protocol", "\x80\x09.", ErrFormat, "protocol 9"},
		{"no STOP", "\x80\x02]", ErrTruncated, "ends in the middle"},
		{"empty stack", "\x80\x02.", ErrFormat, "stack is empty"},
		{"mark as value", "\x80\x02(.", ErrFormat, "mark"},
		{"no mark", "\x80\x02t.", ErrFormat, "no mark"},
		{"odd items", "\x80\x02}(]u.", ErrFormat, "key without a value"},
		{"append to a dict", "\x80\x02}]a.", ErrFormat, "no list"},
		{"set items of a list", "\x80\x02]]]s.", ErrFormat, "no dictionary"},
		{"memo never stored", "\x80\x02h\x07.", ErrFormat, "memo 7"},
		{"string beyond the end", "\x80\x02X\xff\xff\xff\xff.", ErrTruncated, "middle"},
		{"long string of 2^63", "\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x80.", ErrTruncated, "middle"},
		{"endless global", "\x80\x02c" + strings.Repeat("x", 5000), ErrFormat, "line"},
		{"bad persistent id", "\x80\x02]Q.", ErrFormat, "persistent"},
		{"storage of a dtype", "\x80\x02((" + pkStr("storage") + "ctorch\nfloat32\n" + pkStr("0") + pkStr("cpu") + pkInt(1) + "tQ.", ErrFormat,
			"storage"},
		{"tensor without storage", "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(]" + pkInt(0) + pkInts(1) + pkInts(1) + "tR.", ErrFormat,
			"without a storage"},
		{"instructions without end", "\x80\x02" + strings.Repeat("N", MaxPickleOps+1), ErrLimit, "instructions"},
		{"copies without end", "\x80\x02](" + strings.Repeat("N", 100_000) + "eq\x00" + strings.Repeat("cbuiltins\nset\nh\x00\x85R", 1000) + ".",
			ErrLimit, "instructions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open("m.pt", torchZip(c.program, nil))
			requireError(t, err, c.kind, c.says, "m.pt", "data.pkl")
		})
	}
}

func TestTorchTensorsOutOfBounds(t *testing.T) {
	storage := map[string][]byte{"0": make([]byte, 24)}
	tensor := func(count, offset int64, shape, strides []int64) string {
		return pkDict(pkStr("w"), pkTensor("FloatStorage", "0", count, offset, shape, strides))
	}
	_, err := open("m.pt", torchZip(tensor(6, 0, []int64{2, 3}, []int64{3, 1}), storage))
	require.NoError(t, err)
	for _, c := range []struct {
		name, program string
		kind          error
	}{
		{"storage too short", tensor(7, 0, []int64{7}, []int64{1}), ErrTruncated},
		{"more elements than storage", tensor(6, 0, []int64{7}, []int64{1}), ErrFormat},
		{"offset", tensor(6, 5, []int64{2}, []int64{1}), ErrFormat},
		{"offset 2^62", tensor(6, 1<<62, []int64{2}, []int64{1}), ErrFormat},
		{"stride", tensor(6, 0, []int64{2, 2}, []int64{5, 2}), ErrFormat},
		{"stride 2^62", tensor(6, 0, []int64{2, 2}, []int64{1 << 62, 1}), ErrFormat},
		{"expanded", tensor(6, 0, []int64{1 << 40}, []int64{0}), ErrFormat},
		{"overflow", tensor(6, 0, []int64{1 << 40, 1 << 40}, []int64{0, 0}), ErrFormat},
		{"count overflows", tensor(1<<62, 0, []int64{1}, []int64{1}), ErrTruncated},
		{"negative offset", tensor(6, -1, []int64{1}, []int64{1}), ErrFormat},
		{"negative shape", tensor(6, 0, []int64{-1}, []int64{1}), ErrFormat},
		{"rank 9", tensor(6, 0, []int64{1, 1, 1, 1, 1, 1, 1, 1, 1}, []int64{1, 1, 1, 1, 1, 1, 1, 1, 1}), ErrFormat},
		{"storage missing", pkDict(pkStr("w"), pkTensor("FloatStorage", "7", 1, 0, []int64{1}, []int64{1})), ErrTruncated},
		{"storage outside data/", pkDict(pkStr("w"), pkTensor("FloatStorage", "../data.pkl", 1, 0, []int64{1}, []int64{1})), ErrTruncated},
		{"name twice", pkDict(pkStr("w"), pkTensor("FloatStorage", "0", 6, 0, []int64{1}, []int64{1}), pkStr("w"),
			pkTensor("FloatStorage", "0", 6, 0, []int64{1}, []int64{1})), ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open("m.pt", torchZip(c.program, storage))
			requireError(t, err, c.kind)
		})
	}
}

func TestTorchZipRefuses(t *testing.T) {
	zipOf := func(method uint16, names ...string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, n := range names {
			w, _ := z.CreateHeader(&zip.FileHeader{Name: n, Method: method})
			_, _ = w.Write([]byte("\x80\x02}."))
		}
		_ = z.Close()
		return b.Bytes()
	}
	whole := torchZip(pkDict(), nil)
	_, err := open("m.pt", whole)
	require.NoError(t, err)
	for n := 4; n < len(whole); n++ {
		_, err := open("m.pt", whole[:n])
		requireError(t, err, ErrTruncated, "cut short")
	}
	_, err = open("m.pt", zipOf(zip.Store, "a/readme.txt"))
	requireError(t, err, ErrFormat, "without data.pkl")
	_, err = open("m.pt", zipOf(zip.Store, "a/model.safetensors"))
	requireError(t, err, ErrFormat, "model.safetensors", "unpack")
	_, err = open("m.pt", zipOf(zip.Store, "a/data.pkl", "b/data.pkl"))
	requireError(t, err, ErrFormat, "second data.pkl")
	_, err = open("m.pt", zipOf(zip.Store, "a/data.pkl", "a/data.pkl"))
	requireError(t, err, ErrFormat, "twice")
	_, err = open("m.pt", zipOf(zip.Store, "a/data.pkl", "a/byteorder"))
	requireError(t, err, ErrUnsupported, "byteorder")

	var b bytes.Buffer // a compressed storage
	z := zip.NewWriter(&b)
	for name, data := range map[string]string{"a/data.pkl": pkDict(pkStr("w"), pkTensor("FloatStorage", "0", 2, 0, []int64{2}, []int64{1})),
		"a/data/0": strings.Repeat("\x00", 8)} {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		_, _ = w.Write([]byte(data))
	}
	require.NoError(t, z.Close())
	_, err = open("m.pt", b.Bytes())
	requireError(t, err, ErrUnsupported, "compressed")
}

func TestTorchLegacyRefuses(t *testing.T) {
	whole, err := os.ReadFile("testdata/torch/legacy.pt")
	require.NoError(t, err)
	for n := 2; n < len(whole); n += 7 {
		_, err := open("m.pt", whole[:n])
		requireError(t, err, ErrTruncated)
	}
	_, err = open("m.pt", []byte("\x80\x02}."))
	requireError(t, err, ErrUnsupported, "bare pickle")
	// another element count in the data than in the pickle
	at := bytes.LastIndex(whole, []byte{6, 0, 0, 0, 0, 0, 0, 0})
	require.Positive(t, at)
	bad := bytes.Clone(whole)
	bad[at] = 5
	_, err = open("m.pt", bad)
	requireError(t, err, ErrFormat, "elements")
}

// Every type that torch saves is known, also those that no weight has.
func TestTorchTypes(t *testing.T) {
	for storage, want := range map[string]DType{"ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "QInt8Storage": I8,
		"QUInt8Storage": U8, "QInt32Storage": I32, "BoolStorage": Bool, "Float8_e5m2Storage": F8E5M2} {
		b := torchZip(pkDict(pkStr("w"), pkTensor(storage, "0", 2, 0, []int64{2}, []int64{1})), map[string][]byte{"0": make([]byte, 32)})
		f, err := open("m.pt", b)
		require.NoError(t, err, storage)
		require.Equal(t, want, f.Tensors[0].DType, storage)
	}
	for name, want := range map[string]DType{"complex32": "C32", "bcomplex32": "C32", "complex64": "C64", "float8_e8m0fnu": "F8_E8M0",
		"float8_e4m3fnuz": "F8_E4M3FNUZ", "uint16": U16, "bits8": U8, "float4_e2m1fn_x2": U8} {
		require.Equal(t, want, (&pyGlobal{"torch", name}).dtype(), name)
		require.True(t, want.Known(), name)
	}
}
