package modelfile

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ImageEncoderDims describes CLIP's image encoder with Hugging Face's names (CLIPVisionModelWithProjection).
type ImageEncoderDims struct {
	Width         int `json:"width"` // 1280 of ViT-H, 1664 of ViT-bigG
	Layers        int `json:"layers"`
	Intermediate  int `json:"intermediate_size"`
	ProjectionDim int `json:"projection_dim,omitempty"` // 0: no projection
	PatchSize     int `json:"patch_size"`               // pixels: 14
	Tokens        int `json:"tokens"`                   // patches and the class token: 257
}

// String names the published encoders.
func (e *ImageEncoderDims) String() string {
	if name := map[int]string{1024: "ViT-L", 1280: "ViT-H", 1664: "ViT-bigG"}[e.Width]; name != "" {
		return name
	}
	return fmt.Sprintf("an image encoder of width %d", e.Width)
}

const patchEmbedding = "vision_model.embeddings.patch_embedding.weight"

// locateImageEncoder finds an encoder that is a file of its own. CLIP's whole file is that of a text encoder.
func locateImageEncoder(t *table) *part {
	for _, prefix := range prefixes["image_encoder"] {
		if !t.has(prefix + patchEmbedding) {
			continue
		}
		for name := range t.tensors {
			if strings.Contains(name, "text_model.") {
				return nil
			}
		}
		return &part{component: "image_encoder", layout: LayoutDiffusers, prefix: prefix}
	}
	return nil
}

func (e *ImageEncoderDims) lacks() string {
	if e.Width <= 0 || e.Layers < 2 || e.Intermediate <= 0 || e.PatchSize <= 0 || e.Tokens <= 0 {
		return "its embeddings or layers"
	}
	return ""
}

func (e *ImageEncoderDims) specs(b *specs) {
	const m = "vision_model."
	b.add(both(m+"embeddings.class_embedding"), RolePosition, backend.UseTable, e.Width)
	b.add(both(patchEmbedding), RoleWeight, backend.UseSensitive, e.Width, 3, e.PatchSize, e.PatchSize)
	b.add(both(m+"embeddings.position_embedding.weight"), RolePosition, backend.UseTable, e.Tokens, e.Width)
	b.norm(both(m+"pre_layrnorm"), e.Width)
	for i := range e.Layers {
		b.clipLayer(both(fmt.Sprintf(m+"encoder.layers.%d", i)), e.Width, e.Intermediate)
	}
	b.norm(both(m+"post_layernorm"), e.Width)
	if e.ProjectionDim != 0 {
		b.add(both("visual_projection.weight"), RoleWeight, backend.UseSensitive, e.ProjectionDim, e.Width)
	}
}

func inferImageEncoder(p *part) *ImageEncoderDims {
	const m = "vision_model."
	e := &ImageEncoderDims{Layers: p.numbered(m+"encoder.layers", 4*maxBlocks), ProjectionDim: p.dim("visual_projection.weight", 0),
		PatchSize: p.told(patchEmbedding, 2), Tokens: p.told(m+"embeddings.position_embedding.weight", 0)}
	e.Width = p.agreed(side{m + "embeddings.position_embedding.weight", 1}, side{patchEmbedding, 0}, side{m + "post_layernorm.weight", 0})
	e.Intermediate = p.told(m+"encoder.layers.0.mlp.fc1.weight", 0)
	return e
}
