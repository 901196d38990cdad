package steps

// blocks are the sums of the features of a loop's T2I-Adapters. Those that act are the same for many steps.
type blocks struct {
	acting string // which, at what size, and in which tile
	sums   map[string]blockSum
}

// blockSum is backend.UNetInput's Blocks and BlockRows.
type blockSum struct {
	rows   int
	values []float32
}
