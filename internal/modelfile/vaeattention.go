package modelfile

import "strings"

// vaeAttends reports whether a VAE has an attention in its middle. Some VAEs have none in either half. A file with one tensor of an
// attention must have all of them.
func (p *part) vaeAttends() bool {
	b := p.names()
	for _, half := range []string{"encoder", "decoder"} {
		attention := p.prefix + half + b.pick(".mid.attn_1.", ".mid_block.attentions.").file
		for name := range p.table.tensors {
			if strings.HasPrefix(name, attention) {
				return true
			}
		}
	}
	return false
}
