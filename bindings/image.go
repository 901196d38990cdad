package bindings

import "runtime"

// imageEncoderInfo mirrors dg_image_encoder_info: the dimensions of CLIP's image encoder.
type imageEncoderInfo struct {
	StructSize    uintptr
	Width         int64 // of the hidden states
	Layers        int64
	Heads         int64
	ProjectionDim int64 // of the embedding
	Tokens        int64 // patches and the class token: 257
	Size          int64 // pixels along a side: 224
}

// ipAdapterInfo mirrors dg_ip_adapter_info: the dimensions of the half of an IP-Adapter that sees pictures.
type ipAdapterInfo struct {
	StructSize uintptr
	EmbedDim   int64 // of what it takes from an image encoder; 0: nothing
	Hidden     int64 // 1: it takes hidden states; 0: one embedding for a picture
	FaceDim    int64 // of a face's embedding; 0: it takes none
	Tokens     int64 // of a picture
	ContextDim int64 // of a token, as the UNet's
	Layers     int64 // cross attentions
	Values     int64 // keys and values of a token in all of them
}

// ImagePrompt mirrors dg_image_prompt: pictures beside the text in one evaluation of the UNet.
type ImagePrompt struct {
	StructSize uintptr
	Values     *float32 // [Count, ...]: keys and values, as RunIPAdapter leaves them
	Count      int64    // different rows of pictures
	Tokens     int64    // of each row
	OfRow      *int32   // [N]: which of Count each row has
	Scales     *float32 // [N, attentions]
	Mask       *float32 // for each level, the largest first; nil: everywhere
	MaskCount  int64
}

// IPAdapterInput mirrors dg_ip_adapter_input.
type IPAdapterInput struct {
	StructSize uintptr
	Batch      int64    // rows
	Pictures   int64    // in each row
	Tokens     int64    // of each picture's embedding
	Embeds     *float32 // [Batch, Pictures, Tokens, embed_dim]; nil where it takes none
	Faces      *float32 // [Batch, Pictures, face_dim]; nil where it takes none
	Shortcut   float64  // of an adapter that takes both; 0: none
}

// ImageEncode runs the image encoder on pixels [batch, 3, size, size]. embeds is [batch, projection_dim] and hidden [batch, tokens,
// width]; one that is empty is not wanted.
func (m *Model) ImageEncode(batch int64, pixels, embeds, hidden []float32) error {
	return m.call("dg_image_encode", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.imageEncode(model, batch, Pointer(pixels), Pointer(embeds), uintptr(len(embeds)), Pointer(hidden),
			uintptr(len(hidden)), msg, size)
	})
}

// RunIPAdapter makes the keys and values of pictures.
func (m *Model) RunIPAdapter(in IPAdapterInput, values []float32) error {
	return computeOne(m, "dg_ip_adapter_run", m.lib.fn.ipAdapterRun, &in, values)
}

// prompts makes the structs of a call ready.
func prompts(pins *runtime.Pinner, list []ImagePrompt) (*ImagePrompt, int64) {
	if len(list) == 0 {
		return nil, 0
	}
	for i := range list {
		ready(pins, &list[i])
	}
	return &list[0], int64(len(list))
}
