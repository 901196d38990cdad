// Package modelfile reads the headers of model files that come from anywhere: safetensors, GGUF and
// PyTorch's zip and legacy formats. It trusts nothing in them. Sizes are capped and checked for
// overflow before anything is allocated, offsets must lie inside the file, and a pickle is interpreted
// by a machine that knows tensors and containers only: no code is ever run.
//
// The format is taken from the content, never from the name. Open reads a header and checks it;
// tensor data is read on demand. ReadConfig collects what weights do not tell, Inspect describes a file
// or a diffusers folder, Check compares every tensor of an SDXL model with the shape it must have, and
// ReadEmbedding reads textual-inversion files.
//
// This is the only place that knows how files name an SDXL model's tensors (see anatomies). ReadModel reads the
// files of one model and makes the table of weights that a backend loads from: native code parses no header.
//
// Headers are read with pread, not through a mapping (golang.org/x/exp/mmap): a file that a download or another
// program cuts while it is mapped ends the process with SIGBUS, where a read returns an error. A header is one
// read of a few hundred kilobytes, so that a mapping would not be faster either.
package modelfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/regular"
)

// Limits on what a header may claim. Each is far above any real model.
const (
	// MaxHeaderBytes caps a safetensors or GGUF header; safetensors itself has the same limit.
	MaxHeaderBytes = 100_000_000
	// MaxTensors caps the number of tensors in one file.
	MaxTensors = 200_000
	// MaxNameBytes caps the length of a tensor's name.
	MaxNameBytes = 1024
	// MaxDims caps the number of dimensions of a tensor.
	MaxDims = 8
	// MaxJSONDepth caps the nesting of JSON in headers and configuration files.
	MaxJSONDepth = 64
	// MaxPickleBytes caps a pickle's program; tensor data is not part of it.
	MaxPickleBytes = 64 << 20
	// MaxPickleOps caps the number of instructions of a pickle.
	MaxPickleOps = 2_000_000
	// MaxConfigBytes caps a JSON configuration file.
	MaxConfigBytes = 4 << 20
)

// Format names a file format.
type Format string

// The formats that are read.
const (
	FormatSafetensors Format = "safetensors"
	FormatGGUF        Format = "gguf"
	FormatTorchZip    Format = "torch-zip"    // torch.save since PyTorch 1.6
	FormatTorchLegacy Format = "torch-legacy" // torch.save before, and with _use_new_zipfile_serialization=False
)

// Tensor describes one tensor of a file. Shape is in PyTorch's order, last index fastest, also for
// GGUF, whose files store it reversed.
type Tensor struct {
	Name   string  `json:"name"`
	DType  DType   `json:"dtype"`
	Shape  []int64 `json:"shape"`
	Offset int64   `json:"offset"` // of the first element from the start of the file, in bytes
	Size   int64   `json:"size"`   // of the data in bytes

	strides []int64 // in elements; nil when contiguous
	span    int64   // bytes from Offset that a strided tensor touches
	row     int64   // elements of a row as stored, where blocks do not divide those of Shape; else 0

	scale []float32 // of a matrix in FP8: one number, or one for each row; nil: none
}

// Elements returns the number of elements; 1 for a scalar.
func (t Tensor) Elements() int64 {
	n, _ := product(t.Shape)
	return n
}

// StoredRow is the number of elements in a row of the file, a multiple of the type's block. It is the last dimension of Shape, except for
// GGUF tensors that were reshaped to be quantized.
func (t Tensor) StoredRow() int64 {
	if t.row > 0 {
		return t.row
	}
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// StoredShape is the shape in the file. It is Shape, except for a tensor that was reshaped so that blocks divide its rows.
func (t Tensor) StoredShape() []int64 {
	if t.row > 0 {
		return []int64{t.Elements() / t.row, t.row}
	}
	return t.Shape
}

// Contiguous reports whether the data lies in the file in the order of Shape; only PyTorch files can
// hold others.
func (t Tensor) Contiguous() bool { return t.strides == nil }

// File is an open model file whose header was read and checked. Its methods may be called from
// several goroutines. The exported fields are not to be changed.
type File struct {
	Path     string            // as given to Open
	Format   Format            // by content
	Size     int64             // of the file in bytes
	Metadata map[string]string // as in the file; long arrays are summarised
	Tensors  []Tensor          // in the order of the file's header
	Warnings []string          // oddities that do not prevent reading, such as a misleading extension

	mu    sync.RWMutex
	src   io.ReaderAt // nil when closed
	close func() error

	unchanged func() error // reports contents that changed since Open; nil: they cannot
	index     map[string]int

	identity identity.ID // when it was opened
}

// Open reads and checks the header of a model file. A symbolic link is followed; directories, pipes and
// devices are refused. The caller closes the File. Errors are *Error.
func Open(path string) (*File, error) {
	osf, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	id, err := identity.OfFile(osf) // before the header is read, so that a change in between is noticed
	if err != nil {
		osf.Close()
		return nil, osError(path, err)
	}
	f, err := parse(path, osf, size)
	if err != nil {
		osf.Close()
		return nil, err
	}
	f.close, f.identity, f.unchanged = osf.Close, id, func() error { return id.CheckFile(osf) }
	return f, nil
}

// Identity is the file's identity when it was opened.
func (f *File) Identity() identity.ID { return f.identity }

// parse reads the header of r, which has size bytes.
func parse(path string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{Path: path, Size: size, src: r}
	if err := fault.Catch(func() { f.readHeader(r) }); err != nil {
		return nil, withPath(path, err)
	}
	return f, nil
}

func (f *File) readHeader(r io.ReaderAt) {
	f.Format = sniff(r, f.Size, filepath.Ext(f.Path))
	switch f.Format {
	case FormatSafetensors:
		f.readSafetensors(r)
	case FormatGGUF:
		f.readGGUF(r)
	case FormatTorchZip:
		f.readTorchZip(r)
	default:
		f.readTorchLegacy(r)
	}
	if w := extensionWarning(f.Path, f.Format); w != "" {
		f.Warnings = append(f.Warnings, w)
	}
	f.buildIndex()
}

// buildIndex maps names to tensors and refuses duplicates.
func (f *File) buildIndex() {
	if f.index != nil {
		return
	}
	f.index = make(map[string]int, len(f.Tensors))
	for i, t := range f.Tensors {
		if _, dup := f.index[t.Name]; dup {
			panic(fail(ErrFormat, tensorField(t.Name), remedyDownload, "the name occurs twice"))
		}
		f.index[t.Name] = i
	}
}

// Close closes the file; it may be called again.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.src = nil
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.close = nil
	return err
}

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// openRegular opens a regular file for reading, or says why it is none.
func openRegular(path string) (*os.File, int64, error) {
	f, st, err := regular.Open(path)
	if other, ok := errors.AsType[*regular.Error](err); ok {
		return nil, 0, &Error{Kind: ErrNotAFile, Path: path, Found: "is " + other.Is,
			Remedy: "name a model file, or pass a diffusers folder (with model_index.json) where folders are accepted"}
	}
	if err != nil {
		return nil, 0, osError(path, err)
	}
	return f, st.Size(), nil
}

func osError(path string, err error) error {
	cause := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		cause = pe.Err
	}
	e := &Error{Kind: ErrRead, Path: path, Found: cause.Error(), Remedy: "check the disk and try again", Cause: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Found, e.Remedy = ErrNotFound, "no such file", strings.TrimPrefix(regular.Nearest(path), "; ")
		e.Remedy = cmp.Or(e.Remedy, "check the path")
		if st, lerr := os.Lstat(path); lerr == nil && st.Mode()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(path)
			e.Found, e.Remedy = "the symbolic link points to "+quoteName(target)+", which does not exist", "check the link"
		}
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Found, e.Remedy = ErrPermission, "no permission to read it", "change its mode or owner (chmod u+r)"
	case strings.Contains(cause.Error(), "too many levels of symbolic links"):
		e.Kind, e.Found, e.Remedy = ErrNotFound, "a loop of symbolic links", "check the links"
	}
	return e
}

// placeData turns the tensors' offsets from base into those in the file. It refuses data that lie outside the file, and tensors whose
// data share bytes. It returns the end of the last one. Empty tensors share nothing.
func (f *File) placeData(base int64) (end int64) {
	f.buildIndex()
	var short int64 // bytes by which the worst tensor exceeds the file
	var which string
	var order []Tensor
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if over := t.Offset + t.Size - (f.Size - base); over > short {
			short, which = over, t.Name
		}
		if t.Offset += base; t.Size > 0 {
			order = append(order, *t)
		}
	}
	if short > 0 {
		e := missing(tensorField(which), short)
		e.Found = fmt.Sprintf("its data ends beyond the end of the file (%s bytes): %s", group(f.Size), e.Found)
		panic(e)
	}
	slices.SortFunc(order, func(a, b Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	for k, t := range order {
		if t.Offset < end {
			panic(fail(ErrFormat, tensorField(t.Name), remedyDownload, "its data at offset %s overlaps that of %s, which ends at %s",
				group(t.Offset), quoteName(order[k-1].Name), group(end)))
		}
		end = t.Offset + t.Size
	}
	return end
}

// reserve makes sure that the file has so many bytes from an offset on.
func (f *File) reserve(field string, offset, size int64) {
	if room := f.Size - offset; size > room {
		panic(missing(field, size-room))
	}
}

// checkTensor validates name and shape and returns the size in bytes.
func checkTensor(name string, d DType, shape []int64) int64 {
	count, row := checkShape(name, shape), int64(1)
	if len(shape) > 0 {
		row = shape[len(shape)-1]
	}
	size, ok := d.Bytes(count, row)
	if !ok {
		panic(fail(ErrFormat, tensorField(name), remedyDownload, "shape %s does not go with type %s", shapeString(shape), d))
	}
	return size
}

// checkShape validates name and shape and returns the number of elements.
func checkShape(name string, shape []int64) int64 {
	bad := func(kind error, format string, args ...any) {
		panic(fail(kind, tensorField(name), remedyDownload, format, args...))
	}
	if len(name) > MaxNameBytes {
		bad(ErrLimit, "the name has %s bytes, at most %s are read", group(len(name)), group(MaxNameBytes))
	}
	if len(shape) > MaxDims {
		bad(ErrLimit, "has %d dimensions, at most %d are read", len(shape), MaxDims)
	}
	count, ok := product(shape)
	if !ok {
		bad(ErrFormat, "its shape %s overflows", shapeString(shape))
	}
	return count
}
