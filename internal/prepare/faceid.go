package prepare

import (
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// withFaceLoRAs is a request's adapters with those that FaceID's files hold beside the IP-Adapter. As in diffusers their weight is 1,
// whatever the IP-Adapter's is; without an IP-Adapter that acts there is none. What is wrong with the files is told elsewhere.
func (t *Target) withFaceLoRAs(r request.Request) []lora.Adapter {
	out := slices.Clone(r.LoRAs)
	for _, a := range r.IPAdapters {
		if t.Fileless || a.Weight != nil && *a.Weight == 0 {
			continue
		}
		path, err := models.FindNet("ip_adapter", a.Model, t.IPAdapters)
		if err != nil {
			continue
		}
		has, err := adapters.HasFaceLoRA(path)
		if err != nil || !has || slices.ContainsFunc(out, func(l lora.Adapter) bool { return filepath.Clean(l.Path) == filepath.Clean(path) }) {
			continue
		}
		out = append(out, lora.Adapter{Path: path})
	}
	return out
}
