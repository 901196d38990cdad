package vae

import (
	"fmt"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Switch turns something on or off, or leaves it to the Policy.
type Switch string

// The switches; the empty one is Auto.
const (
	Auto Switch = "auto"
	On   Switch = "on"
	Off  Switch = "off"
)

// The values that stand for zero fields of a Policy.
const (
	// DefaultTileSize keeps a 1024 px picture of SDXL's VAE at a fifth of the memory: at 512 px the quarter is missed by a little.
	DefaultTileSize = 448
	DefaultOverlap  = 0.25
	// DefaultMemoryLimit lets SDXL's VAE decode 1024 px, which takes 3.25 GiB, in one piece, and little more.
	DefaultMemoryLimit int64 = 4 << 30
)

// The limits of a Policy's fields. MinTileSize is what the levels of SDXL's VAE need around a pixel, on both sides.
const (
	MinTileSize = 256
	MaxTileSize = 16384
	MaxOverlap  = 0.5
)

// Policy says how to run a VAE; its zero value is the default.
type Policy struct {
	Tiling      Switch  // Auto: where the undivided picture takes more than MemoryLimit
	TileSize    int     // largest, in pixels a side, rounded down to whole latent cells; 0: DefaultTileSize
	Overlap     float64 // share of a tile that it has in common with each neighbour, at least; 0: DefaultOverlap
	Slicing     Switch  // On: one picture of a batch at a time; Off: all at once; Auto: as many as the model computes side by side
	MemoryLimit int64   // bytes of compute buffer for one call; 0: DefaultMemoryLimit
}

// DefaultDownscale is how many pixels a latent cell of SDXL's VAE has on a side.
const DefaultDownscale = 8

// Tile returns the size of the largest tile, in latent cells of unit pixels a side, that a picture of height x width cells is cut into.
func (p Policy) Tile(height, width, unit int) (h, w int) {
	p = p.filled()
	size := p.TileSize / max(unit, 1)
	g := newGrid(height, width, size, overlapOf(size, p.Overlap))
	return g.rows[0].len(), g.columns[0].len()
}

// Validate checks the fields; the error names the one that is wrong as a run file's [model.memory] does.
func (p Policy) Validate() error {
	for _, s := range []struct {
		field string
		value Switch
	}{{"vae_tiling", p.Tiling}, {"vae_slicing", p.Slicing}} {
		switch s.value {
		case "", Auto, On, Off:
		default:
			return fmt.Errorf("%s: %q is none of auto, on, off", s.field, s.value)
		}
	}
	if p.TileSize != 0 && (p.TileSize < MinTileSize || p.TileSize > MaxTileSize) {
		return fmt.Errorf("vae_tile_size: %d is not in %d..%d pixels", p.TileSize, MinTileSize, MaxTileSize)
	}
	if math.IsNaN(p.Overlap) || p.Overlap < 0 || p.Overlap > MaxOverlap {
		return fmt.Errorf("vae_tile_overlap: %v is not in 0..%v of a tile", p.Overlap, MaxOverlap)
	}
	if p.MemoryLimit < 0 {
		return fmt.Errorf("memory limit of the VAE: %d bytes is negative", p.MemoryLimit)
	}
	return nil
}

// filled replaces zero values.
func (p Policy) filled() Policy {
	if p.TileSize == 0 {
		p.TileSize = DefaultTileSize
	}
	if p.Overlap == 0 {
		p.Overlap = DefaultOverlap
	}
	if p.MemoryLimit == 0 {
		p.MemoryLimit = DefaultMemoryLimit
	}
	return p
}

// Plan is how one call will be computed.
type Plan struct {
	Tiles   int   // per picture; 1: undivided
	PerCall int   // pictures in one call of the backend
	Parts   bool  // the tiles share the statistics of the whole picture
	Bytes   int64 // of the compute buffer, exactly
	grid    grid
}

// TileSize returns the height and width of each tile in latent cells; zeros without tiles.
func (p Plan) TileSize() (height, width int) {
	if p.Tiles == 1 {
		return 0, 0
	}
	return p.grid.rows[0].len(), p.grid.columns[0].len()
}

// plan decides how to decode or encode batch pictures of height x width latent cells.
func (p Policy) plan(m backend.Model, decode bool, batch, height, width int) (Plan, error) {
	p = p.filled()
	unit := max(m.Info().VAE.Downscale, 1)
	whole := func(n int) (int64, error) { return undivided(m, decode, n, height, width, unit) }
	one, err := whole(1)
	if err != nil {
		return Plan{}, err
	}
	reach := func(height, width int) bool { return reaches(m, decode, height, width, unit) }
	if p.Tiling == On || p.Tiling != Off && (one > p.MemoryLimit || !reach(height, width)) {
		size := p.TileSize
		g := p.grid(height, width, size/unit)
		for size > MinTileSize && !reach(g.rows[0].len(), g.columns[0].len()) {
			size = max(3*size/4, MinTileSize)
			g = p.grid(height, width, size/unit)
		}
		if g.count() > 1 {
			out := Plan{Tiles: g.count(), PerCall: 1, grid: g}
			th, tw := out.TileSize()
			out.Bytes, out.Parts, err = tiled(m, decode, height, width, th, tw, unit)
			return out, err
		}
	}
	n, err := p.together(m, decode, batch, height, width)
	if err != nil || n == 1 {
		return Plan{Tiles: 1, PerCall: 1, Bytes: one}, err
	}
	some, err := whole(n)
	if err != nil {
		return Plan{}, err
	}
	if p.Slicing != Off && some > p.MemoryLimit {
		n, some = 1, one
	}
	return Plan{Tiles: 1, PerCall: n, Bytes: some}, nil
}

func (p Policy) grid(height, width, size int) grid {
	return newGrid(height, width, size, overlapOf(size, p.Overlap))
}

// together is how many of a batch's pictures go into one call, where none is divided.
func (p Policy) together(m backend.Model, decode bool, batch, height, width int) (int, error) {
	if p.Slicing == Off {
		return batch, nil
	}
	laned, ok := m.(backend.Laned)
	if !ok || p.Slicing == On || !decode || batch == 1 {
		return 1, nil
	}
	return laned.ComputeLanes(backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: batch, Height: height, Width: width})
}

// undivided measures a call on n pictures of height x width cells.
func undivided(m backend.Model, decode bool, n, height, width, unit int) (int64, error) {
	q := backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: n, Height: height, Width: width}
	if !decode {
		q.Stage, q.Height, q.Width = backend.StageVAEEncode, height*unit, width*unit
	}
	return m.ComputeBytes(q)
}

// reaches reports whether the VAE's device has kernels for a picture, or tile, of height x width cells. GPUs' kernels reach tensors of so
// many bytes only, which differs between drivers. The CPU reaches all.
func reaches(m backend.Model, decode bool, height, width, unit int) bool {
	q := backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 1, Height: height, Width: width}
	name := "vae_decoder"
	if !decode {
		q.Stage, q.Height, q.Width, name = backend.StageVAEEncode, height*unit, width*unit, "vae_encoder"
	}
	inspected, ok := m.(backend.Inspected)
	if !ok || !slices.ContainsFunc(m.Info().Components, func(c backend.ComponentInfo) bool {
		return c.Name == name && c.Opened && c.Device != "" && c.Device != hostID
	}) {
		return true
	}
	nodes, err := inspected.Nodes(q)
	return err != nil || !slices.ContainsFunc(nodes, func(n backend.NodeGroup) bool { return !n.Supported })
}

// tiled measures the largest call that tiles of th x tw cells need.
func tiled(m backend.Model, decode bool, height, width, th, tw, unit int) (bytes int64, parts bool, err error) {
	if _, ok := partsOf(m, decode); !ok {
		bytes, err = undivided(m, decode, 1, th, tw, unit)
		return bytes, false, err
	}
	middle := backend.ComputeQuery{Stage: backend.StageVAEDecodeMiddle, Batch: 1, Height: height, Width: width}
	levels := backend.ComputeQuery{Stage: backend.StageVAEDecodeLevels, Batch: 1, Height: th, Width: tw}
	if !decode {
		middle.Stage = backend.StageVAEEncodeMiddle
		levels = backend.ComputeQuery{Stage: backend.StageVAEEncodeLevels, Batch: 1, Height: th * unit, Width: tw * unit}
	}
	for _, q := range []backend.ComputeQuery{middle, levels} {
		n, err := m.ComputeBytes(q)
		if err != nil {
			return 0, true, err
		}
		bytes = max(bytes, n)
	}
	return bytes, true, nil
}

// partsOf returns the model's VAE in parts, where it has one with group norms.
func partsOf(m backend.Model, decode bool) (backend.VAEParts, bool) {
	parts, ok := m.(backend.VAEParts)
	if !ok {
		return nil, false
	}
	stage := backend.StageVAEDecodeLevels
	if !decode {
		stage = backend.StageVAEEncodeLevels
	}
	info, err := parts.VAEPartInfo(stage)
	return parts, err == nil && info.Norms > 0
}
