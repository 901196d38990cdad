package memory

import "github.com/daguerre-go/daguerre/runtime/backend"

const (
	tokensPerChunk = 77
	// graphBytes is a graph's description: some 4,000 nodes of SDXL's UNet with what they point to, which are touched of the
	// room for 32,768.
	graphBytes = 3 << 20
	// processGrowth is what the program itself grows by while it runs: code that is read in, the vocabulary, Go's heap and stacks. It was
	// found to be 9 to 12 MiB over sizes and batches.
	processGrowth = 10 << 20
	// processVaries is by how much the next process may begin larger than this one, for which a limit is named that must be enough.
	processVaries = 4 << 20
	// goGarbage is how much larger Go's heap is than what it holds: the collector waits until it has doubled (GOGC=100).
	goGarbage = 2
	// goHeapFloor is what Go's collector lets a small heap grow to before it runs.
	goHeapFloor = 4 << 20
)

// latentBytes is what a batch's latents, noise and scratch take.
func (m Model) latentBytes(j Job, batch int) int64 {
	s := m.Shapes[OwnerModel]
	unit := max(s.Downscale, 1)
	one := int64(j.Width/unit) * int64(j.Height/unit) * int64(max(s.Latents, 4)) * 4
	return 6 * one * int64(batch)
}

// inputBytes is what the UNet is told: context for every row, samples, and ControlNets' residuals twice, in Go and native.
func (m Model) inputBytes(j Job, _ Strategy, batch int) int64 {
	shape := m.Shapes[OwnerModel]
	unit := max(shape.Downscale, 1)
	rows := int64(2 * batch)
	if !j.Guidance {
		rows = int64(batch)
	}
	n := goGarbage * rows * int64(tokensPerChunk*max(j.Chunks, 1)) * int64(shape.ContextDim) * 4
	if len(j.Controls) == 0 {
		return n
	}
	h, w := int64(j.Height/unit), int64(j.Width/unit)
	var residuals int64
	for l, c := range shape.Channels {
		residuals += 4 * int64(c) * h * w
		if l+1 < len(shape.Channels) {
			h, w = (h+1)/2, (w+1)/2
		}
	}
	return n + 2*4*rows*residuals
}

// pixelBytes is one picture on its way through the VAE: float32 pixels as they come and as they are handed on, and 8 bits.
func pixelBytes(width, height int) int64 {
	return int64(width) * int64(height) * (2*3*4 + 4)
}

// enlargedBytes is a picture behind the upscaler, before it is scaled to the second pass.
func (m Model) enlargedBytes(j Job) int64 {
	scale := int64(m.Shapes[OwnerUpscaler].Scale)
	return int64(j.Upscale[0]) * int64(j.Upscale[1]) * scale * scale * 4
}

// handedOnBytes is what pixels of a batch's earlier pictures take which nobody needs any more.
func handedOnBytes(j Job, batch int) int64 {
	return min(int64(batch-1)*pixelBytes(j.Width, j.Height), goHeapFloor)
}

// finishedBytes is what a job's finished pictures take, which its result holds until the end, when so many are still to come.
func finishedBytes(j Job, unfinished int) int64 {
	return int64(max(j.Images, 1)-unfinished) * int64(j.Width) * int64(j.Height) * 4
}

// workBytes is what a CPU converts the inputs of matrix products into: ggml's work buffer, sized for the largest product of the graph.
func (m Model) workBytes(q Query) int64 {
	s := m.Shapes[q.Owner]
	half := int64(2) // bytes of an F16 activation
	if s.ActivationOf == backend.TypeF32 {
		return 0 // they are taken as they are
	}
	h, w := int64(q.Height), int64(q.Width)
	switch q.Stage {
	case backend.StageUNet, backend.StageControl:
		var most int64
		for l, c := range s.Channels {
			if l < len(s.Depth) && s.Depth[l] > 0 {
				most = max(most, int64(q.Batch)*h*w*4*int64(c)*half) // into the feed-forward's second layer
			}
			h, w = (h+1)/2, (w+1)/2
		}
		return most
	}
	return 0
}
