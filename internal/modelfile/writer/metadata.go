package writer

import (
	"regexp"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// summarised matches what modelfile puts in place of long arrays, which cannot be written again.
var summarised = regexp.MustCompile(`^\[[\d,]+ x \w+\]$`)

// Metadata is what a file made of a model takes over: the entries of its files, and the settings that a folder keeps
// beside them.
func Metadata(c *modelfile.Collection) (map[string]string, error) {
	m := map[string]string{}
	for _, f := range c.Files {
		for k, v := range f.Metadata {
			if k != "general.alignment" && k != modelfile.QuantizationKey && !summarised.MatchString(v) {
				m[k] = v
			}
		}
	}
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	text, err := config.MarshalMetadata()
	if err != nil {
		return nil, err
	}
	if text != "{}" {
		m[modelfile.MetadataKey] = text
	}
	return m, nil
}
