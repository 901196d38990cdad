package bindings

import (
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/stretchr/testify/require"
)

var sentinels = map[Code]error{
	1: ErrArgument, 2: ErrFile, 3: ErrFormat, 4: ErrModel, 5: ErrOutOfMemory, 6: ErrDevice, 7: ErrCancelled, 8: ErrUnsupported, 9: ErrEngine,
}

// put writes text into C's view of a message buffer.
func put(msg *byte, msgCap uintptr, text string) {
	n := copy(unsafe.Slice(msg, msgCap)[:msgCap-1], text)
	unsafe.Slice(msg, msgCap)[n] = 0
}

func TestEveryStatusIsItsSentinelAndNoOther(t *testing.T) {
	require.Len(t, sentinels, int(ErrEngine))
	seen := map[string]bool{}
	for code, sentinel := range sentinels {
		err := check("dg_op", func(msg *byte, msgCap uintptr) int32 {
			put(msg, msgCap, "what happened")
			return int32(code)
		})
		err = fmt.Errorf("wrapped: %w", err)
		for other, otherSentinel := range sentinels {
			require.Equal(t, code == other, errors.Is(err, otherSentinel))
		}
		var typed *Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, Error{code, "dg_op", "what happened"}, *typed)
		require.Equal(t, "dg_op: what happened ("+sentinel.Error()+")", typed.Error())
		require.False(t, seen[sentinel.Error()])
		seen[sentinel.Error()] = true
	}
}

func TestStatusOutsideTheEnum(t *testing.T) {
	err := check("dg_op", func(*byte, uintptr) int32 { return 42 })
	require.EqualError(t, err, "dg_op: unknown status 42")
	require.Equal(t, "ok", Code(0).Error())
	require.NoError(t, check("dg_op", func(*byte, uintptr) int32 { return 0 }))
}

func TestMessagesDoNotLeakBetweenCalls(t *testing.T) {
	for range 100 {
		_ = check("dg_op", func(msg *byte, msgCap uintptr) int32 { put(msg, msgCap, "old"); return 1 })
		err := check("dg_op", func(*byte, uintptr) int32 { return 1 })
		require.EqualError(t, err, "dg_op: invalid argument")
	}
}

func TestLongMessageIsCutAndStaysUTF8(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(1, 2, 2, 1)
	in.timesteps[0] = -4
	err := in.eval(m, out)
	require.ErrorIs(t, err, ErrEngine)
	var typed *Error
	require.ErrorAs(t, err, &typed)
	require.True(t, utf8.ValidString(typed.Message))
	require.Greater(t, len(typed.Message), messageCap/2)
	require.Less(t, len(typed.Message), messageCap+3)
	full := make([]byte, 4)
	copy(full, "ab\xC3")
	require.Equal(t, "ab\uFFFD", goString(full))
	require.Equal(t, "abcd", goString([]byte("abcd")))
}
