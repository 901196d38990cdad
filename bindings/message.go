package bindings

import (
	"bytes"
	"strings"
	"sync"
)

// messageCap is the room for one error message, with its NUL. The library cuts longer ones.
const messageCap = 2048

type messageBuffer [messageCap]byte

var messages = sync.Pool{New: func() any { return new(messageBuffer) }}

// check makes one call of the library and is the only place where a dg_status becomes an error.
// call gets the message buffer as C wants it: the address of its first byte and its size.
func check(op string, call func(msg *byte, msgCap uintptr) int32) error {
	buf := messages.Get().(*messageBuffer)
	defer messages.Put(buf)
	buf[0] = 0
	status := call(&buf[0], messageCap)
	if status == int32(CodeOK) {
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
