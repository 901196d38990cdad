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
	StrategyAuto     = "auto"
	StrategyResident = "resident" // everything in memory all the time
	StrategyRelease  = "release"  // the text encoders and the VAE only while they are used
	StrategyStage    = "stage"    // one component at a time
	StrategyStream   = "stream"   // the UNet's layers as they are needed
	StrategyMmap     = "mmap"     // straight from the file, as pages of it
)

// Strategies lists the values of Memory.Strategy.
var Strategies = []string{StrategyAuto, StrategyResident, StrategyRelease, StrategyStage, StrategyStream, StrategyMmap}

// Memory says how much memory may be taken and how: the [model.memory] table.
type Memory struct {
	MemoryLimit      string `key:"memory_limit" default:"what is free" doc:"most memory to use on the device, such as 6GiB, 800MB, or 75% of what is free"`
	Reserve          string `key:"reserve" default:"0" doc:"memory to leave to others, in the same spelling"`
	Strategy         string `key:"strategy" default:"auto" doc:"how weights are held: auto, resident, release, stage, stream or mmap, from the fastest to the smallest"`
	AttentionSlicing *bool  `key:"attention_slicing" default:"where memory is short" doc:"attention in slices: slower, with a smaller compute buffer"`
	MaxBatch         int    `key:"max_batch" default:"what memory allows" doc:"most pictures in one batch, of any job"`
}

// ErrAmount is matched by ParseAmount's errors.
var ErrAmount = errors.New("no amount of memory")

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
	bad := fmt.Errorf("%w: %s; write it as 6GiB, 800MB or 75%%", ErrAmount, clip(s))
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

func (m Memory) validate(c checker) {
	for _, a := range []struct{ key, text string }{{"memory_limit", m.MemoryLimit}, {"reserve", m.Reserve}} {
		if _, err := ParseAmount(a.text); err != nil {
			c.fail(a.key, "is %v", err)
		}
	}
	c.oneOf("strategy", m.Strategy, Strategies)
	c.between("max_batch", m.MaxBatch, 0, MaxImages)
}
