package bindings

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// messageCap is the room for one error message, with its NUL. The library cuts longer ones.
const messageCap = 2048

type messageBuffer [messageCap]byte

var messages = sync.Pool{New: func() any { return new(messageBuffer) }}

// check makes one call of the library and is the only place where a dg_status becomes an error.
// call gets the message buffer as C wants it: the address of its first byte and its size.
func check(op string, call func(msg *byte, size uintptr) int32) error {
	buf := messages.Get().(*messageBuffer)
	defer messages.Put(buf)
	buf[0] = 0
	status := call(&buf[0], messageCap)
	if status == 0 {
		return nil
	}
	return &Error{Code: Code(status), Op: op, Message: goString(buf[:])}
}

// goString returns the text before the first NUL, or all of b. Bytes that are not UTF-8 (a message
// can be cut inside a character) become U+FFFD.
func goString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// flag is a C truth value.
func flag(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// Pointer returns the address of a slice's first element for a field of a C struct; nil for an empty slice.
func Pointer[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return unsafe.SliceData(s)
}

// cString returns a NUL-terminated copy of s; nil for "".
func cString(op, field, s string) (*byte, error) {
	if s == "" {
		return nil, nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, argumentf(op, "%s %q contains a NUL byte", field, s)
	}
	return unsafe.SliceData(append([]byte(s), 0)), nil
}

// ready makes a C struct fit for a call: it sets its size and pins what its pointers show, also in the structs inside it. pins may
// be nil where there are no pointers.
func ready[T any](pins *runtime.Pinner, c *T) *T {
	prepare(pins, reflect.ValueOf(c).Elem())
	return c
}

func prepare(pins *runtime.Pinner, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		v.Field(0).SetUint(uint64(v.Type().Size())) // struct_size
		for i := range v.NumField() {
			prepare(pins, v.Field(i))
		}
	case reflect.Array:
		for i := 0; i < v.Len() && v.Type().Elem().Kind() == reflect.Struct; i++ {
			prepare(pins, v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			pins.Pin(v.Interface())
		}
	}
}

// fetch makes the calls that fill a list whose length only the library knows.
func fetch[T any](m *Model, op string, call func(model uintptr, list *T, capacity uintptr, count *uintptr, msg *byte, size uintptr) int32) (
	[]T, error) {
	var list []T
	for {
		var count uintptr
		err := m.call(op, func(model uintptr, msg *byte, size uintptr) int32 {
			return call(model, unsafe.SliceData(list), uintptr(len(list)), &count, msg, size)
		})
		if err != nil || int(count) <= len(list) {
			return list[:min(int(count), len(list))], err
		}
		list = make([]T, count)
		for i := range list {
			ready(nil, &list[i])
		}
	}
}
