package request_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestTiledDiffusion: what tiles cannot do is an error that names both keys.
func TestTiledDiffusion(t *testing.T) {
	on := request.TiledDiffusion{Method: "mixture"}
	for want, r := range map[string]request.Request{
		"tiled_diffusion":                  {TiledDiffusion: request.TiledDiffusion{TileWidth: 512}},
		"tiled_diffusion.method":           {TiledDiffusion: request.TiledDiffusion{Method: "spiral"}},
		"cannot be used with seamless":     {TiledDiffusion: on, Seamless: request.SeamlessX},
		"cannot be used with reuse.tgate":  {TiledDiffusion: on, Reuse: request.Reuse{TGate: 5}},
		"cannot be used with reuse.deepca": {TiledDiffusion: on, Reuse: request.Reuse{DeepCache: 3}},
		"the masks of ip_adapter[0]": {TiledDiffusion: on, IPAdapters: []request.IPAdapter{{Model: "a.safetensors",
			Images: []request.Picture{{Path: "a.png"}}, Masks: []request.Picture{{Path: "m.png"}}}}},
	} {
		r.Prompt = "a cat"
		assert.ErrorContains(t, r.Validate(), want)
	}
	for _, r := range []request.Request{
		{TiledDiffusion: on, Reuse: request.Reuse{EasyCache: 0.1}},
		{TiledDiffusion: on, Seamless: request.SeamlessNone},
		{TiledDiffusion: on, IPAdapters: []request.IPAdapter{{Model: "a.safetensors", Images: []request.Picture{{Path: "a.png"}}}}},
	} {
		r.Prompt = "a cat"
		assert.NoError(t, r.Validate())
	}
}
