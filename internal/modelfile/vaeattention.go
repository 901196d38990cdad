package modelfile

import "strings"

// vaeAttends reports whether a VAE has anything of an attention in its middle. Some have none in either half; a file that has one tensor of
// them must have all.
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
