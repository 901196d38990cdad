package request

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Memory says how much memory may be taken and how: the [model.memory] table.
type Memory struct {
	MemoryLimit      string `key:"memory_limit" default:"what is free"`
	Reserve          string `key:"reserve" default:"0"`
	Strategy         string `key:"strategy" default:"auto"` // how weights are held, from the fastest to the smallest
	AttentionSlicing *bool  `key:"attention_slicing" default:"where memory is short"`
	MaxBatch         int    `key:"max_batch" default:"what memory allows"`
}

var errAmount = errors.New("no amount of memory")

// Amount is an amount of memory: bytes, or a share of what there is.
type Amount struct {
	Bytes    int64   // 0 where Fraction is given
	Fraction float64 // 0 to 1; 0 where Bytes is given
}

// Of returns the amount in bytes where whole is what it may be a share of.
func (a Amount) Of(whole int64) int64 {
	if a.Fraction > 0 {
		return int64(a.Fraction * float64(whole))
	}
	return a.Bytes
}

// ParseAmount reads "6GiB", "800 MB", "1.5e9" or "75%". The empty text is the zero Amount.
func ParseAmount(s string) (Amount, error) {
	text := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if text == "" {
		return Amount{}, nil
	}
	bad := fmt.Errorf("%w: %s; write it as 6GiB, 800MB or 75%%", errAmount, clip(s))
	if share, ok := strings.CutSuffix(text, "%"); ok {
		x, err := strconv.ParseFloat(share, 64)
		if err != nil || !(x > 0 && x <= 100) {
			return Amount{}, bad
		}
		return Amount{Fraction: x / 100}, nil
	}
	if n, ok := words.ParseBytes(text); ok {
		return Amount{Bytes: n}, nil
	}
	return Amount{}, bad
}
