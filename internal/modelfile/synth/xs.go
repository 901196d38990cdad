package synth

import "github.com/daguerre-go/daguerre/internal/modelfile"

// xsConfig is what the config.json of a ControlNet-XS says.
func xsConfig(kind Kind) modelfile.ControlXSConfig {
	mix := 0.95
	switch kind {
	case KindNanoXS:
		return modelfile.ControlXSConfig{Heads: []int{1, 2, 2}, MaxNormNumGroups: 4}
	case KindNanoXSTime:
		mix = 0.6
		return modelfile.ControlXSConfig{Heads: []int{1, 3, 4}, MaxNormNumGroups: 4, TimeEmbeddingMix: &mix, ChannelOrder: "bgr"}
	}
	return modelfile.ControlXSConfig{Heads: []int{1, 1, 2}, TimeEmbeddingMix: &mix}
}
