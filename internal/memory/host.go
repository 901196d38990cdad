package memory

import "github.com/daguerre-go/daguerre/runtime/backend"

const (
	tokensPerChunk = 77
	// graphPerWeight is a graph's description, for each of the component's weights: two to three nodes with what the allocator notes of them.
	// SDXL's UNet of 1,680 weights takes 3 MiB, nano's of 500 takes 0.9 MiB (RssAnon before and after the first step, less the compute
	// buffer).
	graphPerWeight = 1900
	// graphPerChange is the same for each module that adapters change: nano's outline, of 101 modules, adds 0.6 MiB to the UNet's graph. The
	// blocks are small, and stay in the C heap when the graph goes.
	graphPerChange = 6 << 10
	// processGrowth is what the program itself grows by while it runs: code that is read in, the vocabulary, Go's heap and stacks. It was
	// fitted to the recorder's small runs (make record ARGS="-peak"): half of them take more, half less.
	processGrowth = 10750 << 10
	// processVaries is by how much the next process may begin larger than this one, for which a limit is named that must be enough.
	processVaries = 4 << 20
	// goGarbage is how much larger Go's heap is than what it holds: the collector waits until it has doubled (GOGC=100).
	goGarbage = 2
	// leftBytes is the garbage that a picture leaves besides its pixels: tokens, noise, progress, the texts in its file. Go's TotalAlloc grows
	// by so much for each of 40 pictures of 64 px.
	leftBytes = 600 << 10
	// encoderBytes is what writes a picture's file: deflate's tables and windows of 0.8 MiB for each of the two threads that do, which are
	// kept for the next, the file, and as much while Go's heap grows for them. Peaks of runs whose last stage is the largest lie 3 to 4 MiB
	// above.
	encoderBytes = 3500 << 10
	// readyBytes is a job that is ready and waits: its request, its scheduler's tables, its place in the queue. 1,000 jobs take 42 MiB more
	// than one (docs/batch.md).
	readyBytes = 44 << 10
	// jobsInWork is how many jobs are ready at most (DefaultWindow of internal/service).
	jobsInWork = 1024
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

// inputBytes is what the UNet is told: context for every row, and samples.
func (m Model) inputBytes(j Job, batch int) int64 {
	shape := m.Shapes[OwnerModel]
	rows := int64(j.halves(batch) + j.perturbed(batch) + j.regions(batch, Strategy{}).Rows*j.Beside)
	row := int64(tokensPerChunk*max(j.Chunks, 1)) * int64(shape.ContextDim) * 4
	return goGarbage*rows*row + int64(max(j.Texts, 1)-1)*rows*row // the texts of other steps wait
}

// residualBytes is what ControlNets add to so many rows, on the UNet's device.
func (m Model) residualBytes(rows, height, width int) int64 {
	s := m.Shapes[OwnerModel]
	return 4 * int64(backend.UNetInfo{Channels: s.Channels, Resnets: s.Resnets}.ResidualCount(rows, height, width))
}

// blockBytes is what T2I-Adapters add to so many rows, once.
func (m Model) blockBytes(rows, height, width int) int64 {
	s := m.Shapes[OwnerModel]
	u := backend.UNetInfo{Channels: s.Channels, TransformerDepth: s.Depth}
	return 4 * int64(rows) * int64(u.BlockCount(height, width))
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

// garbageBytes is what Go's heap still holds of pictures that are done: their pixels, and what encoded them into a file.
func garbageBytes(j Job, done int) int64 {
	return min(int64(done)*(pixelBytes(j.Width, j.Height)+leftBytes), goHeapFloor)
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
