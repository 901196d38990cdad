package prepare

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Files lists the files that the request's pictures depend on besides the model's: the file found for every name, and every input.
func (p *Prepared) Files() []string {
	r := &p.Request
	out := []string{r.InitImage.Path, r.MaskImage.Path, r.Noise.Path, r.Latents.Path}
	for i, n := range r.ControlNets {
		out = append(out, n.Image.Path)
		if i >= len(p.Controls) || p.Controls[i].ID.IsZero() {
			continue
		}
		path := p.Controls[i].Path
		out = append(out, path)
		config := filepath.Join(filepath.Dir(path), "config.json")
		if _, err := os.Stat(config); err == nil { // settings that weights do not show are read from it
			out = append(out, config)
		}
	}
	for _, a := range p.Adapters.Enabled() {
		out = append(out, p.Adapters.Path(a))
	}
	out = append(out, p.Embeddings...)
	return slices.DeleteFunc(out, func(path string) bool { return path == "" })
}

// Unchanged returns an error if the file of a ControlNet or an adapter has changed since the request was prepared. The error matches
// identity.ErrChanged.
func (p *Prepared) Unchanged() error {
	for i, c := range p.Controls {
		if err := c.ID.Check(c.Path); err != nil {
			return fmt.Errorf("controlnet[%d]: %w", i, err)
		}
	}
	for _, a := range p.Adapters.Enabled() {
		if _, err := p.Adapters.Resolve(a); err != nil {
			return fmt.Errorf("lora %q: %w", a.Label(), err)
		}
	}
	return nil
}
