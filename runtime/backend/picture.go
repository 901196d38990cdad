package backend

import "context"

// ImageInfo has the dimensions of CLIP's image encoder.
type ImageInfo struct {
	Width         int `json:"width"` // of the hidden states
	Layers        int `json:"layers"`
	Heads         int `json:"heads"`
	ProjectionDim int `json:"projection_dim"` // of the embedding
	Tokens        int `json:"tokens"`         // patches and the class token: 257
	Size          int `json:"size"`           // pixels along a side: 224
}

// IPAdapterInfo has the dimensions of the half of an IP-Adapter that sees pictures.
type IPAdapterInfo struct {
	EmbedDim   int  `json:"embed_dim"` // of what it takes from an image encoder; 0: nothing
	Hidden     bool `json:"hidden"`    // it takes the encoder's hidden states, else one embedding for a picture
	FaceDim    int  `json:"face_dim"`  // of a face's embedding; 0: it takes none
	Tokens     int  `json:"tokens"`    // of a picture
	ContextDim int  `json:"context_dim"`
	Layers     int  `json:"layers"` // cross attentions
	Values     int  `json:"values"` // keys and values of a token in all of them
}

// ImagePrompt is pictures beside the text in one evaluation of the UNet: those of one IP-Adapter, with one mask. In every cross attention
// their result is added to the text's. N is the batch.
type ImagePrompt struct {
	Values []float32 // [Count, Tokens x UNetInfo.AttentionValues]: keys and values, as ImageModel.ImageValues returns them
	Count  int       // different rows of pictures
	Tokens int       // of each row
	OfRow  []int32   // [N]: which of Count each row has
	Scales []float32 // [N, UNetInfo.Attentions], in the order of diffusers' attn_processors; 0 in all rows leaves an attention out
	Mask   []float32 // as long as MaskCount says: for each level, the largest first; nil: everywhere
}

// LevelSizes lists height and width of latents of h x w cells at each level of the UNet.
func (u UNetInfo) LevelSizes(h, w int) [][2]int {
	var out [][2]int
	for range u.Channels {
		out = append(out, [2]int{h, w})
		h, w = (h+1)/2, (w+1)/2
	}
	return out
}

// MaskCount is the number of values of an ImagePrompt's mask.
func (u UNetInfo) MaskCount(h, w int) (n int) {
	for _, s := range u.LevelSizes(h, w) {
		n += s[0] * s[1]
	}
	return n
}

// ImageInput is what an IP-Adapter is given: for each of Batch rows as many pictures. Their tokens stand one behind the other.
type ImageInput struct {
	Embeds   Tensor  // [Batch, pictures, EmbedDim], or [Batch, pictures, tokens, EmbedDim] if it takes hidden states; zero: EmbedDim is 0
	Faces    Tensor  // [Batch, pictures, FaceDim]; zero: FaceDim is 0
	Shortcut float64 // of an adapter that takes both: 0: none, else what the part of the picture is multiplied by (v2: 1)
}

// ImageModel is a Model that sees pictures for a prompt: an image encoder, or an IP-Adapter.
type ImageModel interface {
	// EncodePicture maps pixels [N, 3, Size, Size], normalised as the encoder wants them, to embeddings [N, ProjectionDim], or to the
	// output of the penultimate layer, [N, Tokens, Width].
	EncodePicture(ctx context.Context, pixels Tensor, hidden bool) (Tensor, error)
	// ImageValues makes the keys and values of pictures: [Batch, pictures x IPAdapterInfo.Tokens x Values].
	ImageValues(ctx context.Context, in ImageInput) (Tensor, error)
}
