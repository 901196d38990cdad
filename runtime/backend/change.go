package backend

// UNetChange is what an evaluation changes inside the UNet. The zero value changes nothing. Layers are names of UNetInfo.Blocks, one on a
// line.
type UNetChange struct {
	// The last rows of a batch are perturbed: IdentityRows of them, and behind those BlurredRows. In the layers listed, the self-attention
	// of the former is the identity (PAG, arXiv 2403.17377). That of the latter has blurred queries (SEG, arXiv 2408.00760).
	IdentityRows, BlurredRows     int
	IdentityLayers, BlurredLayers string
	BlurSigma                     float64 // cells; above 9999 each query is the mean of all

	// FreeU's factors s1, s2, b1 and b2 (arXiv 2309.11497): of the skips and of the backbone, in the first and the second block of the way
	// up. All zero: none.
	FreeU [4]float64
}
