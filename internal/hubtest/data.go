package hubtest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Bytes are random bytes, the same for a seed.
func Bytes(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	out := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(out) // it does not fail
	return out
}

// Safetensors is a file of weights of that many bytes, which means nothing. It has 100 at least, and a number that is divisible by 8.
func Safetensors(seed uint64, size int) []byte {
	header := ""
	for pad := 0; (8+len(header))%8 != 0 || header == ""; pad++ {
		n := size - 8 - len(header)
		for range 3 { // the length of the header depends on the number in it
			header = fmt.Sprintf(`{"weight":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}%*s}`, n, n, pad, "")
			n = size - 8 - len(header)
		}
	}
	out := Bytes(seed, size)
	binary.LittleEndian.PutUint64(out, uint64(len(header)))
	copy(out[8:], header)
	return out
}
