package tune

import "github.com/daguerre-go/daguerre/runtime/backend"

// layers are what is timed: the most expensive shapes of SDXL at 1024 px with guidance on, which is a batch of two.
type layers struct {
	name       string
	convs      []backend.Trial
	attentions []backend.Trial
	linears    []backend.Trial
	tiles      []int // pixels a side
	tileWidth  int   // channels of the VAE's last level
	tileScale  int   // by which tiles are smaller here than their names
	repeats    int
}

func conv(channels, side int) backend.Trial {
	return backend.Trial{Kind: backend.TrialConv2D, Batch: 2, In: channels, Out: channels, Height: side, Width: side}
}

func attention(channels, heads, queries, keys int) backend.Trial {
	return backend.Trial{Kind: backend.TrialAttention, Batch: 2, In: channels, Out: heads, Height: queries, Width: keys}
}

func linear(in, out, tokens int) backend.Trial {
	return backend.Trial{Kind: backend.TrialLinear, Batch: 2, In: in, Out: out, Height: tokens, Width: 1}
}

var (
	sdxlLayers = layers{name: "sdxl",
		convs:      []backend.Trial{conv(320, 128), conv(640, 64), conv(1280, 32)},
		attentions: []backend.Trial{attention(640, 10, 4096, 4096), attention(1280, 20, 1024, 1024), attention(1280, 20, 1024, 77)},
		linears:    []backend.Trial{linear(640, 5120, 4096), linear(1280, 10240, 1024)},
		tiles:      []int{256, defaultTile, 640}, tileWidth: 128, tileScale: 1, repeats: 3}
	// smallLayers are for devices that the CPU plays, where the others would take minutes. They show that everything works, no more.
	smallLayers = layers{name: "small",
		convs:      []backend.Trial{conv(32, 8)},
		attentions: []backend.Trial{attention(64, 1, 64, 77)},
		linears:    []backend.Trial{linear(64, 128, 64)},
		tiles:      []int{256, defaultTile}, tileWidth: 8, tileScale: 16, repeats: 3}
)

// defaultTile is package vae's.
const defaultTile = 448

// checks are small layers whose results are compared with the CPU's. The second of each kind has sums beyond 65,504, the largest
// number of half precision: kernels that add up in it return infinities.
func checks(kind backend.TrialKind) []backend.Trial {
	switch kind {
	case backend.TrialConv2D:
		odd, large := conv(48, 17), conv(64, 16)
		odd.Batch, odd.In = 1, 80
		large.Amplitude = 40
		return []backend.Trial{odd, large}
	case backend.TrialAttention:
		large := attention(128, 2, 64, 77)
		large.Amplitude = 4
		return []backend.Trial{attention(192, 3, 80, 80), large}
	}
	return []backend.Trial{linear(96, 160, 33)}
}
