package pipeline

import (
	"fmt"
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// roundedProducts warns of a precision that Vulkan does not quite have: where a device computes in half precision, ggml rounds the factors
// of products to it, also of F32 weights. Sums are in F32. "" where there is nothing to warn of.
func roundedProducts(p backend.Precision, device string) string {
	if p != backend.PrecisionExact && p != backend.PrecisionF32 || !strings.HasPrefix(device, "vulkan") ||
		os.Getenv("GGML_VK_DISABLE_F16") != "" {
		return ""
	}
	return fmt.Sprintf("precision %s: %s may round the factors of products to half precision; set GGML_VK_DISABLE_F16=1 to forbid it", p,
		device)
}
