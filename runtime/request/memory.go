package request

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// The ways to hold weights, from the fastest to the smallest.
const (
	strategyAuto     = "auto"
	strategyResident = "resident" // everything in memory all the time
	strategyRelease  = "release"  // the text encoders and the VAE only while they are used
	strategyStage    = "stage"    // one component at a time
	strategyStream   = "stream"   // the UNet's layers as they are needed
	strategyMmap     = "mmap"     // straight from the file, as pages of it
)

// Memory says how much memory may be taken and how: the [model.memory] table.
type Memory struct {
	MemoryLimit      string `key:"memory_limit" default:"what is free"`
	Reserve          string `key:"reserve" default:"0"`
	Strategy         string `key:"strategy" default:"auto"`
	AttentionSlicing *bool  `key:"attention_slicing" default:"where memory is short"`
	MaxBatch         int    `key:"max_batch" default:"what memory allows"`
}

var errAmount = errors.New("no amount of memory")

var amountUnits = []struct {
	suffix string
	bytes  float64
}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1}, {"", 1}}

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
