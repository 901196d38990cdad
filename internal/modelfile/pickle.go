package modelfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
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

type unpickler struct {
	r     *bufio.Reader
	pos   int64 // bytes read
	limit int64 // bytes there are
	short error // what to return when they do not suffice
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

func (u *unpickler) bad(format string, args ...any) error {
	return fail(ErrFormat, fmt.Sprintf("%s at byte %s", u.field, group(u.pos)), remedyDownload, format, args...)
}

func (u *unpickler) take(n int64) ([]byte, error) {
	if n < 0 || n > u.limit-u.pos {
		return nil, u.short
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(u.r, b); err != nil {
		return nil, err
	}
	u.pos += n
	return b, nil
}

func (u *unpickler) byte() (byte, error) {
	if u.pos >= u.limit {
		return 0, u.short
	}
	u.pos++
	return u.r.ReadByte()
}

// uint reads a little-endian unsigned integer of n bytes.
func (u *unpickler) uint(n int64) (uint64, error) {
	b, err := u.take(n)
	if err != nil {
		return 0, err
	}
	var w [8]byte
	copy(w[:], b)
	return le64(w[:]), nil
}

// counted reads a length of n bytes and that many bytes.
func (u *unpickler) counted(n int64) ([]byte, error) {
	size, err := u.uint(n)
	if err != nil {
		return nil, err
	}
	if size > math.MaxInt64 {
		return nil, u.short
	}
	return u.take(int64(size))
}

func (u *unpickler) line() (string, error) {
	var b []byte
	for {
		c, err := u.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		if b = append(b, c); len(b) > MaxNameBytes {
			return "", u.bad("a line of more than %d bytes", MaxNameBytes)
		}
	}
}

// load runs one pickle up to its STOP and returns the value.
func (u *unpickler) load() (any, error) {
	u.stack, u.memo = nil, map[uint32]any{}
	for {
		op, err := u.byte()
		if err != nil {
			return nil, err
		}
		if u.ops++; u.ops > MaxPickleOps {
			return nil, fail(ErrLimit, u.field, remedyResave, "more than %s instructions", group(MaxPickleOps))
		}
		if op == '.' {
			return u.pop()
		}
		if err := u.step(op); err != nil {
			return nil, err
		}
	}
}

func (u *unpickler) push(v any) error { u.stack = append(u.stack, v); return nil }

func (u *unpickler) pop() (any, error) {
	if len(u.stack) == 0 {
		return nil, u.bad("the stack is empty")
	}
	v := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	if _, ok := v.(pyMark); ok {
		return nil, u.bad("a mark where a value is needed")
	}
	return v, nil
}

// popN returns the n topmost values in order.
func (u *unpickler) popN(n int) ([]any, error) {
	out := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		v, err := u.pop()
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// popMark returns the values above the last mark and removes the mark.
func (u *unpickler) popMark() ([]any, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(pyMark); ok {
			out := append([]any(nil), u.stack[i+1:]...)
			clear(u.stack[i:])
			u.stack = u.stack[:i]
			return out, nil
		}
	}
	return nil, u.bad("no mark on the stack")
}

func (u *unpickler) top() (any, error) {
	if len(u.stack) == 0 {
		return nil, u.bad("the stack is empty")
	}
	return u.stack[len(u.stack)-1], nil
}

// step executes one opcode: literals here, containers, memo and objects in their own functions.
func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := u.byte()
		if err == nil && v > 5 {
			return u.bad("protocol %d is unknown", v)
		}
		return err
	case 0x95: // FRAME
		_, err := u.uint(8)
		return err
	case 'N': // NONE
		return u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88)
	case 'K', 'M', 'J': // BININT1, BININT2, BININT
		v, err := u.uint(map[byte]int64{'K': 1, 'M': 2, 'J': 4}[op])
		if err != nil {
			return err
		}
		if op == 'J' {
			return u.push(int64(int32(v)))
		}
		return u.push(int64(v))
	case 0x8a, 0x8b: // LONG1, LONG4
		return u.long(op)
	case 'G': // BINFLOAT, big endian
		b, err := u.take(8)
		if err != nil {
			return err
		}
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 0x8d, 'U', 'T': // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING
		b, err := u.counted(map[byte]int64{'X': 4, 0x8c: 1, 0x8d: 8, 'U': 1, 'T': 4}[op])
		if err != nil {
			return err
		}
		return u.push(strings.ToValidUTF8(string(b), "\ufffd"))
	case 'C', 'B', 0x8e, 0x96: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
		b, err := u.counted(map[byte]int64{'C': 1, 'B': 4, 0x8e: 8, 0x96: 8}[op])
		if err != nil {
			return err
		}
		return u.push(pyBytes(b))
	}
	return u.stepContainer(op)
}

func (u *unpickler) long(op byte) error {
	b, err := u.counted(map[byte]int64{0x8a: 1, 0x8b: 4}[op])
	if err != nil {
		return err
	}
	if len(b) > 8 {
		return u.push(pyLong(b))
	}
	var w [8]byte
	copy(w[:], b)
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		for i := len(b); i < 8; i++ {
			w[i] = 0xff
		}
	}
	return u.push(int64(le64(w[:])))
}

func (u *unpickler) stepContainer(op byte) error {
	switch op {
	case '(': // MARK
		return u.push(pyMark{})
	case ')': // EMPTY_TUPLE
		return u.push(&pyTuple{})
	case ']', 0x8f: // EMPTY_LIST, EMPTY_SET
		return u.push(&pyList{})
	case '}': // EMPTY_DICT
		return u.push(&pyDict{})
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		items, err := u.popN(int(op-0x85) + 1)
		if err != nil {
			return err
		}
		return u.push(&pyTuple{items})
	case 't', 'l', 0x91: // TUPLE, LIST, FROZENSET
		items, err := u.popMark()
		if err != nil {
			return err
		}
		if op == 't' {
			return u.push(&pyTuple{items})
		}
		return u.push(&pyList{items})
	case 'd': // DICT
		items, err := u.popMark()
		if err != nil {
			return err
		}
		if err := u.push(&pyDict{}); err != nil {
			return err
		}
		return u.setItems(items)
	case 'a': // APPEND
		items, err := u.popN(1)
		if err != nil {
			return err
		}
		return u.appendItems(items)
	case 'e', 0x90: // APPENDS, ADDITEMS
		items, err := u.popMark()
		if err != nil {
			return err
		}
		return u.appendItems(items)
	case 's': // SETITEM
		items, err := u.popN(2)
		if err != nil {
			return err
		}
		return u.setItems(items)
	case 'u': // SETITEMS
		items, err := u.popMark()
		if err != nil {
			return err
		}
		return u.setItems(items)
	case '0': // POP
		_, err := u.pop()
		return err
	case '1': // POP_MARK
		_, err := u.popMark()
		return err
	}
	return u.stepObject(op)
}

func (u *unpickler) appendItems(items []any) error {
	v, err := u.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *pyList:
		v.items = append(v.items, items...)
	case pyOpaque:
	default:
		return u.bad("appends to something that is no list")
	}
	return nil
}

func (u *unpickler) setItems(items []any) error {
	v, err := u.top()
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return u.bad("a key without a value")
	}
	switch v := v.(type) {
	case *pyDict:
		for i := 0; i < len(items); i += 2 {
			v.keys = append(v.keys, items[i])
			v.vals = append(v.vals, items[i+1])
		}
	case pyOpaque:
	default:
		return u.bad("sets items of something that is no dictionary")
	}
	return nil
}

// stepObject executes the memo and the opcodes that in Python would import or call.
func (u *unpickler) stepObject(op byte) error {
	switch op {
	case 'q', 'r': // BINPUT, LONG_BINPUT
		id, err := u.uint(map[byte]int64{'q': 1, 'r': 4}[op])
		if err != nil {
			return err
		}
		return u.remember(uint32(id))
	case 0x94: // MEMOIZE
		return u.remember(uint32(len(u.memo)))
	case 'h', 'j': // BINGET, LONG_BINGET
		id, err := u.uint(map[byte]int64{'h': 1, 'j': 4}[op])
		if err != nil {
			return err
		}
		v, ok := u.memo[uint32(id)]
		if !ok {
			return u.bad("memo %d was never stored", id)
		}
		return u.push(v)
	case 'c': // GLOBAL
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		if err != nil {
			return err
		}
		return u.global(module, name)
	case 0x93: // STACK_GLOBAL
		v, err := u.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := v[0].(string)
		name, ok2 := v[1].(string)
		if !ok1 || !ok2 {
			return u.bad("a global whose name is no string")
		}
		return u.global(module, name)
	case 'R', 0x81: // REDUCE, NEWOBJ
		v, err := u.popN(2)
		if err != nil {
			return err
		}
		return u.reduce(v[0], v[1])
	case 'b': // BUILD
		return u.build()
	case 'Q': // BINPERSID
		id, err := u.pop()
		if err != nil {
			return err
		}
		return u.persistent(id)
	case 'i', 'o', 0x92, 0x82, 0x83, 0x84: // INST, OBJ, NEWOBJ_EX, EXT1, EXT2, EXT4
		return fail(ErrUnsafePickle, fmt.Sprintf("%s at byte %s", u.field, group(u.pos)),
			"do not open the file with other programs; get it as .safetensors",
			"instruction %#02x makes objects by running code, which tensors do not need; nothing was run", op)
	}
	return fail(ErrUnsupported, fmt.Sprintf("%s at byte %s", u.field, group(u.pos)), remedyResave,
		"instruction %#02x, which torch.save does not write", op)
}

func (u *unpickler) remember(id uint32) error {
	v, err := u.top()
	if err != nil {
		return err
	}
	u.memo[id] = v
	return nil
}
