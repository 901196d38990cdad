package modelfile

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
)

const (
	// zipDirectoryBytes caps what is read to list an archive; a checkpoint of 3,000 tensors needs 0.4 MB.
	zipDirectoryBytes = 32 << 20
	torchDepth        = 16 // nesting of dictionaries that is followed
	torchVisits       = 2_000_000
	torchMetadata     = 1000 // scalars kept as metadata
)

// located is where a storage's bytes lie in the file.
type located struct{ offset, size int64 }

// budgetReader fails after a number of bytes, so that a hostile directory cannot fill the memory.
type budgetReader struct {
	r    io.ReaderAt
	left int64
}

var errBudget = errors.New("the zip directory is too large")

func (b *budgetReader) ReadAt(p []byte, off int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errBudget
	}
	return b.r.ReadAt(p, off)
}

// readTorchZip reads the archive that torch.save writes: <name>/data.pkl, and each storage
// uncompressed as <name>/data/<key>.
func (f *File) readTorchZip(r io.ReaderAt) {
	budget := &budgetReader{r: r, left: zipDirectoryBytes}
	z, err := zip.NewReader(budget, f.Size)
	switch {
	case errors.Is(err, errBudget):
		panic(fail(ErrLimit, "zip directory", remedyDownload, "more than %s bytes", group(zipDirectoryBytes)))
	case err != nil:
		panic(fail(ErrTruncated, "zip directory", "download it again",
			"the directory at the end of the archive is missing or damaged (%v), so the file is probably cut short", err))
	}
	budget.left = math.MaxInt64
	entries := make(map[string]*zip.File, len(z.File))
	var program *zip.File
	for _, e := range z.File {
		field := "zip entry " + quoteName(e.Name)
		if _, dup := entries[e.Name]; dup {
			panic(fail(ErrFormat, field, remedyDownload, "occurs twice"))
		}
		entries[e.Name] = e
		if path.Base(e.Name) == "data.pkl" && strings.Count(e.Name, "/") <= 1 {
			if program != nil {
				panic(fail(ErrFormat, field, remedyDownload, "a second data.pkl beside %s", quoteName(program.Name)))
			}
			program = e
		}
	}
	if program == nil {
		panic(noProgram(z.File))
	}
	root := strings.TrimSuffix(program.Name, "data.pkl")
	if e := entries[root+"byteorder"]; e != nil {
		if s := strings.TrimSpace(string(zipBytes(e, 16))); s != "little" {
			panic(fail(ErrUnsupported, "byteorder", "re-save it on a little-endian machine", "%s", quoteName(s)))
		}
	}
	b := zipBytes(program, MaxPickleBytes)
	f.collectTorch(newUnpickler(bytes.NewReader(b), int64(len(b)), "data.pkl").load(), func(s *pyStorage) located {
		name := root + "data/" + s.key
		return f.zipData(entries[name], name)
	})
}

func noProgram(files []*zip.File) *Error {
	for _, e := range files {
		if ext := strings.ToLower(path.Ext(e.Name)); extensions[ext] != nil {
			return fail(ErrFormat, "", "unpack it first", "a zip archive that contains %s", quoteName(e.Name))
		}
	}
	return fail(ErrFormat, "", "name a file written by torch.save", "a zip archive without data.pkl, so not a PyTorch file")
}

// zipBytes reads a small entry whole.
func zipBytes(e *zip.File, most int64) []byte {
	field := "zip entry " + quoteName(e.Name)
	if e.UncompressedSize64 > uint64(most) {
		panic(fail(ErrLimit, field, remedyDownload, "%s bytes, at most %s are read", group(e.UncompressedSize64), group(most)))
	}
	rc, err := e.Open()
	if err != nil {
		panic(fail(ErrFormat, field, remedyDownload, "%v", err))
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, most+1))
	if err != nil || int64(len(b)) > most {
		panic(fail(ErrFormat, field, remedyDownload, "cannot be read: %v", err))
	}
	return b
}

func (f *File) zipData(e *zip.File, name string) located {
	field := "zip entry " + quoteName(name)
	if e == nil {
		panic(fail(ErrTruncated, field, "download it again", "is missing"))
	}
	if e.Method != zip.Store || e.CompressedSize64 != e.UncompressedSize64 {
		panic(fail(ErrUnsupported, field, "re-save the file with torch.save, which does not compress", "is compressed"))
	}
	off, err := e.DataOffset()
	if err != nil || off < 0 {
		panic(fail(ErrFormat, field, remedyDownload, "%v", err))
	}
	size := int64(min(e.UncompressedSize64, math.MaxInt64))
	f.reserve(field, off, size)
	return located{off, size}
}

// torchMagic is 0x1950a86a20f9469cfc6c as LONG1 writes it.
var torchMagic = []byte{0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// readTorchLegacy reads what torch.save wrote before 1.6: the pickles of a magic number, a protocol
// version, system facts, the object and the storage keys; then each storage with its element count.
func (f *File) readTorchLegacy(r io.ReaderAt) {
	u := newUnpickler(io.NewSectionReader(r, 0, f.Size), f.Size, "pickle")
	if m, ok := u.load().(pyLong); !ok || !bytes.Equal(m, torchMagic) {
		panic(fail(ErrUnsupported, "pickle", remedyResave, "a bare pickle, not written by torch.save"))
	}
	if v := u.load(); v != int64(1001) {
		panic(fail(ErrUnsupported, "protocol version", remedyResave, "%v; 1001 is read", v))
	}
	if info, ok := u.load().(*pyDict); ok {
		for i, k := range info.keys {
			if k == "little_endian" && info.vals[i] == false {
				panic(fail(ErrUnsupported, "byte order", "re-save it on a little-endian machine", "big endian"))
			}
		}
	}
	value := u.load()
	keys, ok := u.load().(*pyList)
	if !ok {
		panic(fail(ErrFormat, "storage keys", remedyDownload, "no list"))
	}
	where := f.legacyStorages(r, u.pos, keys.items, storagesOf(value))
	f.collectTorch(value, func(s *pyStorage) located {
		at, ok := where[s.key]
		if !ok {
			panic(fail(ErrFormat, "storage "+quoteName(s.key), remedyDownload, "is not in the file's list of storages"))
		}
		return at
	})
}

// storagesOf lists the storages that tensors refer to, by key.
func storagesOf(root any) map[string]*pyStorage {
	out := map[string]*pyStorage{}
	w := &torchWalker{tensor: func(_ string, t *pyTensor) { out[t.storage.key] = t.storage }, all: true}
	_ = fault.Catch(func() { w.walk("", root, 0) }) // limits are reported by the second walk
	return out
}

// legacyStorages walks over the data after the pickles. A storage no tensor refers to has no known
// element size, so what follows it cannot be located.
func (f *File) legacyStorages(r io.ReaderAt, pos int64, keys []any, used map[string]*pyStorage) map[string]located {
	where := make(map[string]located, len(keys))
	for i, k := range keys {
		key, ok := k.(string)
		if !ok {
			panic(fail(ErrFormat, "storage keys", remedyDownload, "entry %d is no string", i))
		}
		field := "storage " + quoteName(key)
		s := used[key]
		if s == nil {
			break
		}
		f.reserve(field, pos, 8)
		var b [8]byte
		fault.Value(r.ReadAt(b[:], pos))
		pos += 8
		if n := littleEndian(b[:]); n != uint64(s.count) {
			panic(fail(ErrFormat, field, remedyDownload, "%s elements in the data, %s in the pickle", group(n), group(s.count)))
		}
		size, ok := s.dtype.Bytes(s.count, s.count)
		if !ok {
			panic(fail(ErrFormat, field, remedyDownload, "%s elements overflow", group(s.count)))
		}
		f.reserve(field, pos, size)
		where[key] = located{pos, size}
		pos += size
	}
	return where
}

// torchWalker visits the tensors in nested dictionaries.
type torchWalker struct {
	tensor func(name string, t *pyTensor)
	scalar func(name string, v any)
	all    bool // also inside lists and tuples
	visits int
}

func (w *torchWalker) walk(name string, v any, depth int) {
	if w.visits++; w.visits > torchVisits {
		panic(fail(ErrLimit, "pickle", remedyResave, "more than %s objects", group(torchVisits)))
	}
	if depth > torchDepth {
		return
	}
	switch v := v.(type) {
	case *pyTensor:
		w.tensor(cmp.Or(name, "tensor"), v)
	case *pyDict:
		for i, k := range v.keys {
			w.walk(joinName(name, k), v.vals[i], depth+1)
		}
	case *pyList, *pyTuple:
		if items, _ := itemsOf(v); w.all {
			for _, v := range items {
				w.walk(name, v, depth+1)
			}
		}
	default:
		if w.scalar != nil && isScalar(v) {
			w.scalar(name, v)
		}
	}
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, int64, float64, bool:
		return true
	}
	return false
}

func joinName(name string, key any) string {
	var k string
	switch v := key.(type) {
	case string, int64:
		k = fmt.Sprint(v)
	default:
		k = fmt.Sprintf("%T", key)
	}
	if name == "" {
		return k
	}
	if len(name) > MaxNameBytes {
		return name
	}
	return name + "." + k
}

// collectTorch turns the unpickled value into Tensors. A training checkpoint's "state_dict" is taken by
// itself; its neighbours' numbers and strings become metadata.
func (f *File) collectTorch(root any, locate func(*pyStorage) located) {
	f.Metadata = map[string]string{}
	w := &torchWalker{
		tensor: func(name string, t *pyTensor) {
			if len(f.Tensors) == MaxTensors {
				panic(fail(ErrLimit, "pickle", remedyResave, "more than %s tensors", group(MaxTensors)))
			}
			f.Tensors = append(f.Tensors, t.place(name, locate(t.storage)))
		},
		scalar: func(name string, v any) {
			if len(f.Metadata) < torchMetadata && len(name) <= MaxNameBytes {
				f.Metadata[name] = fmt.Sprint(v)
			}
		},
	}
	if d, ok := root.(*pyDict); ok {
		for i, k := range d.keys {
			if inner, ok := d.vals[i].(*pyDict); ok && k == "state_dict" && inner != d {
				rest := &pyDict{}
				for j, v := range d.vals {
					if isScalar(v) {
						rest.add(d.keys[j], v)
					}
				}
				w.walk("", rest, 0)
				root = inner
				break
			}
		}
	}
	w.walk("", root, 0)
}

// place checks a view against its storage and gives it its position in the file.
func (t *pyTensor) place(name string, at located) Tensor {
	field := tensorField(name)
	bad := func(format string, args ...any) { panic(fail(ErrFormat, field, remedyDownload, format, args...)) }
	out := Tensor{Name: name, DType: t.dtype, Shape: t.shape, Size: checkTensor(name, t.dtype, t.shape), Offset: at.offset}
	count, width := out.Elements(), dtypes[t.dtype].bytes
	if declared, ok := t.storage.dtype.Bytes(t.storage.count, t.storage.count); !ok || declared > at.size {
		panic(fail(ErrTruncated, field, "download it again", "its storage %s has %s bytes, %s elements of %s are announced",
			quoteName(t.storage.key), group(at.size), group(t.storage.count), t.storage.dtype))
	}
	room := at.size / width
	if count == 0 {
		return out
	}
	const outside = "%s elements at %s do not lie in its storage of %s"
	if t.offset > room || count > room {
		bad(outside, group(count), group(t.offset), group(room))
	}
	span, expect, contiguous := int64(1), int64(1), true
	for i := len(t.shape) - 1; i >= 0; i-- {
		d, s := t.shape[i], t.strides[i]
		if d == 1 {
			continue
		}
		if s > room {
			bad("stride %s leaves its storage", group(s))
		}
		contiguous = contiguous && s == expect
		expect *= d
		step, ok := product([]int64{d - 1, s})
		if !ok || step > room-span {
			bad("shape %s with strides %s leaves its storage of %s elements", shapeString(t.shape), shapeString(t.strides), group(room))
		}
		span += step
	}
	if t.offset > room-span {
		bad(outside, group(span), group(t.offset), group(room))
	}
	out.Offset += t.offset * width
	if !contiguous {
		out.strides, out.span = t.strides, span*width
	}
	return out
}
