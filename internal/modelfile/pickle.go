package modelfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// A pickle is a program for a stack machine. This one builds containers, numbers, strings and tensor
// descriptions, and can do nothing else: a global is a name, never something that is looked up, and
// REDUCE "calls" only the few names that torch.save writes. The opcodes are those of Python's
// pickletools that protocols 2 to 5 use for such data.

type (
	pyTuple  struct{ items []any }
	pyList   struct{ items []any }
	pyDict   struct{ keys, vals []any }
	pyMark   struct{}
	pyGlobal struct{ module, name string }
	pyOpaque struct{} // an inert object: built by a global that is known to be harmless, never looked into
	pyBytes  []byte
	pyLong   []byte // little-endian two's complement of more than 8 bytes

	// pyStorage is torch's flat buffer; count is in elements of dtype.
	pyStorage struct {
		dtype DType
		key   string
		count int64
	}
	// pyTensor is a view of a storage; offset and strides are in elements of dtype.
	pyTensor struct {
		storage *pyStorage
		dtype   DType
		offset  int64
		shape   []int64
		strides []int64
	}
)

func (g *pyGlobal) String() string { return g.module + "." + g.name }

func (d *pyDict) add(key, value any) { d.keys, d.vals = append(d.keys, key), append(d.vals, value) }

type unpickler struct {
	r     *bufio.Reader
	pos   int64  // bytes read
	limit int64  // bytes there are
	short *Error // what is wrong when they do not suffice
	field string
	ops   int
	stack []any
	memo  map[uint32]any
}

// newUnpickler reads from r, which has limit bytes before its end or the cap on pickles.
func newUnpickler(r io.Reader, limit int64, field string) *unpickler {
	u := &unpickler{r: bufio.NewReader(r), limit: limit, field: field}
	u.short = fail(ErrTruncated, field, "download it again", "it ends in the middle")
	if limit > MaxPickleBytes {
		u.limit = MaxPickleBytes
		u.short = fail(ErrLimit, field, remedyResave, "longer than %s bytes", group(MaxPickleBytes))
	}
	return u
}

// bad is an error at the place that was read last.
func (u *unpickler) bad(format string, args ...any) *Error {
	return fail(ErrFormat, u.place(), remedyDownload, format, args...)
}

func (u *unpickler) place() string { return fmt.Sprintf("%s at byte %s", u.field, group(u.pos)) }

func (u *unpickler) take(n uint64) []byte {
	if n > uint64(u.limit-u.pos) {
		panic(u.short)
	}
	b := make([]byte, n)
	fault.Value(io.ReadFull(u.r, b))
	u.pos += int64(n)
	return b
}

func (u *unpickler) byte() byte {
	if u.pos >= u.limit {
		panic(u.short)
	}
	u.pos++
	return fault.Value(u.r.ReadByte())
}

// uint reads a little-endian unsigned integer of n bytes.
func (u *unpickler) uint(n uint64) uint64 { return littleEndian(u.take(n)) }

// counted reads a length of n bytes and that many bytes.
func (u *unpickler) counted(n uint64) []byte { return u.take(u.uint(n)) }

func (u *unpickler) line() string {
	var b []byte
	for c := u.byte(); c != '\n'; c = u.byte() {
		if b = append(b, c); len(b) > MaxNameBytes {
			panic(u.bad("a line of more than %d bytes", MaxNameBytes))
		}
	}
	return string(b)
}

// load runs one pickle up to its STOP and returns the value.
func (u *unpickler) load() any {
	u.stack, u.memo = nil, map[uint32]any{}
	for {
		op := u.byte()
		if u.ops++; u.ops > MaxPickleOps {
			panic(fail(ErrLimit, u.field, remedyResave, "more than %s instructions", group(MaxPickleOps)))
		}
		switch step := opcodes[op]; {
		case op == '.':
			return u.pop()
		case step != nil:
			step(u)
		case strings.IndexByte(unsafeOpcodes, op) >= 0:
			panic(fail(ErrUnsafePickle, u.place(), "do not open the file with other programs; get it as .safetensors",
				"instruction %#02x makes objects by running code, which tensors do not need; nothing was run", op))
		default:
			panic(fail(ErrUnsupported, u.place(), remedyResave, "instruction %#02x, which torch.save does not write", op))
		}
	}
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

func (u *unpickler) pop() any {
	v := u.top()
	u.stack = u.stack[:len(u.stack)-1]
	if _, ok := v.(pyMark); ok {
		panic(u.bad("a mark where a value is needed"))
	}
	return v
}

// pop2 returns the two topmost values in order.
func (u *unpickler) pop2() (any, any) {
	v := u.popN(2)
	return v[0], v[1]
}

// popN returns the n topmost values in order.
func (u *unpickler) popN(n int) []any {
	out := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		out[i] = u.pop()
	}
	return out
}

// popMark returns the values above the last mark and removes the mark.
func (u *unpickler) popMark() []any {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(pyMark); ok {
			out := append([]any(nil), u.stack[i+1:]...)
			clear(u.stack[i:])
			u.stack = u.stack[:i]
			return out
		}
	}
	panic(u.bad("no mark on the stack"))
}

func (u *unpickler) top() any {
	if len(u.stack) == 0 {
		panic(u.bad("the stack is empty"))
	}
	return u.stack[len(u.stack)-1]
}

// unsafeOpcodes import or call: INST, OBJ, NEWOBJ_EX, EXT1, EXT2, EXT4.
const unsafeOpcodes = "io\x92\x82\x83\x84"

// opcodes are the instructions that are carried out, but for STOP.
var opcodes = [256]func(u *unpickler){
	0x80: (*unpickler).protocol,
	0x95: func(u *unpickler) { u.uint(8) }, // FRAME

	'N':  func(u *unpickler) { u.push(nil) },                                                      // NONE
	0x88: func(u *unpickler) { u.push(true) },                                                     // NEWTRUE
	0x89: func(u *unpickler) { u.push(false) },                                                    // NEWFALSE
	'K':  func(u *unpickler) { u.push(int64(u.uint(1))) },                                         // BININT1
	'M':  func(u *unpickler) { u.push(int64(u.uint(2))) },                                         // BININT2
	'J':  func(u *unpickler) { u.push(int64(int32(u.uint(4)))) },                                  // BININT
	0x8a: func(u *unpickler) { u.long(u.counted(1)) },                                             // LONG1
	0x8b: func(u *unpickler) { u.long(u.counted(4)) },                                             // LONG4
	'G':  func(u *unpickler) { u.push(math.Float64frombits(binary.BigEndian.Uint64(u.take(8)))) }, // BINFLOAT
	'X':  func(u *unpickler) { u.text(4) },                                                        // BINUNICODE
	0x8c: func(u *unpickler) { u.text(1) },                                                        // SHORT_BINUNICODE
	0x8d: func(u *unpickler) { u.text(8) },                                                        // BINUNICODE8
	'U':  func(u *unpickler) { u.text(1) },                                                        // SHORT_BINSTRING
	'T':  func(u *unpickler) { u.text(4) },                                                        // BINSTRING
	'C':  func(u *unpickler) { u.push(pyBytes(u.counted(1))) },                                    // SHORT_BINBYTES
	'B':  func(u *unpickler) { u.push(pyBytes(u.counted(4))) },                                    // BINBYTES
	0x8e: func(u *unpickler) { u.push(pyBytes(u.counted(8))) },                                    // BINBYTES8
	0x96: func(u *unpickler) { u.push(pyBytes(u.counted(8))) },                                    // BYTEARRAY8

	'(':  func(u *unpickler) { u.push(pyMark{}) },              // MARK
	')':  func(u *unpickler) { u.push(&pyTuple{}) },            // EMPTY_TUPLE
	']':  func(u *unpickler) { u.push(&pyList{}) },             // EMPTY_LIST
	0x8f: func(u *unpickler) { u.push(&pyList{}) },             // EMPTY_SET
	'}':  func(u *unpickler) { u.push(&pyDict{}) },             // EMPTY_DICT
	0x85: func(u *unpickler) { u.push(&pyTuple{u.popN(1)}) },   // TUPLE1
	0x86: func(u *unpickler) { u.push(&pyTuple{u.popN(2)}) },   // TUPLE2
	0x87: func(u *unpickler) { u.push(&pyTuple{u.popN(3)}) },   // TUPLE3
	't':  func(u *unpickler) { u.push(&pyTuple{u.popMark()}) }, // TUPLE
	'l':  func(u *unpickler) { u.push(&pyList{u.popMark()}) },  // LIST
	0x91: func(u *unpickler) { u.push(&pyList{u.popMark()}) },  // FROZENSET
	'd':  (*unpickler).dict,
	'a':  func(u *unpickler) { u.appendItems(u.popN(1)) },   // APPEND
	'e':  func(u *unpickler) { u.appendItems(u.popMark()) }, // APPENDS
	0x90: func(u *unpickler) { u.appendItems(u.popMark()) }, // ADDITEMS
	's':  func(u *unpickler) { u.setItems(u.popN(2)) },      // SETITEM
	'u':  func(u *unpickler) { u.setItems(u.popMark()) },    // SETITEMS
	'0':  func(u *unpickler) { u.pop() },                    // POP
	'1':  func(u *unpickler) { u.popMark() },                // POP_MARK

	'q':  func(u *unpickler) { u.memo[uint32(u.uint(1))] = u.top() },   // BINPUT
	'r':  func(u *unpickler) { u.memo[uint32(u.uint(4))] = u.top() },   // LONG_BINPUT
	0x94: func(u *unpickler) { u.memo[uint32(len(u.memo))] = u.top() }, // MEMOIZE
	'h':  func(u *unpickler) { u.recall(u.uint(1)) },                   // BINGET
	'j':  func(u *unpickler) { u.recall(u.uint(4)) },                   // LONG_BINGET
	'c':  func(u *unpickler) { u.global(u.line(), u.line()) },          // GLOBAL
	0x93: (*unpickler).stackGlobal,
	'R':  func(u *unpickler) { u.reduce(u.pop2()) }, // REDUCE
	0x81: func(u *unpickler) { u.reduce(u.pop2()) }, // NEWOBJ
	'b':  (*unpickler).build,
	'Q':  func(u *unpickler) { u.persistent(u.pop()) }, // BINPERSID
}

func (u *unpickler) protocol() {
	if v := u.byte(); v > 5 {
		panic(u.bad("protocol %d is unknown", v))
	}
}

func (u *unpickler) text(size uint64) { u.push(strings.ToValidUTF8(string(u.counted(size)), "\ufffd")) }

func (u *unpickler) long(b []byte) {
	if len(b) > 8 {
		u.push(pyLong(b))
		return
	}
	unused := 64 - 8*len(b)
	u.push(int64(littleEndian(b)<<unused) >> unused)
}

func (u *unpickler) dict() {
	items := u.popMark()
	u.push(&pyDict{})
	u.setItems(items)
}

func (u *unpickler) appendItems(items []any) {
	switch v := u.top().(type) {
	case *pyList:
		v.items = append(v.items, items...)
	case pyOpaque:
	default:
		panic(u.bad("appends to something that is no list"))
	}
}

func (u *unpickler) setItems(items []any) {
	top := u.top()
	if len(items)%2 != 0 {
		panic(u.bad("a key without a value"))
	}
	switch v := top.(type) {
	case *pyDict:
		for i := 0; i < len(items); i += 2 {
			v.add(items[i], items[i+1])
		}
	case pyOpaque:
	default:
		panic(u.bad("sets items of something that is no dictionary"))
	}
}

func (u *unpickler) recall(id uint64) {
	v, ok := u.memo[uint32(id)]
	if !ok {
		panic(u.bad("memo %d was never stored", id))
	}
	u.push(v)
}

func (u *unpickler) stackGlobal() {
	a, b := u.pop2()
	module, ok1 := a.(string)
	name, ok2 := b.(string)
	if !ok1 || !ok2 {
		panic(u.bad("a global whose name is no string"))
	}
	u.global(module, name)
}
