package contract

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Change checks what an evaluation of so many rows changes.
func Change(u backend.UNetInfo, c backend.UNetChange, rows int) error {
	if c.IdentityRows < 0 || c.BlurredRows < 0 || c.IdentityRows+c.BlurredRows > rows {
		return Invalid("change", "%d and %d perturbed rows are not among %d", c.IdentityRows, c.BlurredRows, rows)
	}
	if c.BlurredRows > 0 && !(c.BlurSigma > 0) {
		return Invalid("blur_sigma", "is %v; it must be above 0", c.BlurSigma)
	}
	for _, l := range []struct {
		field, names string
		rows         int
	}{{"identity_layers", c.IdentityLayers, c.IdentityRows}, {"blurred_layers", c.BlurredLayers, c.BlurredRows}} {
		for name := range strings.SplitSeq(l.names, "\n") {
			if l.rows > 0 && !slices.Contains(u.Blocks, name) {
				return Invalid(l.field, "the UNet has no block %s", name)
			}
		}
	}
	return nil
}
