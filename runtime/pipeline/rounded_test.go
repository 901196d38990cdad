package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestRoundedProductsAreTold(t *testing.T) {
	t.Setenv("GGML_VK_DISABLE_F16", "")
	assert.Contains(t, roundedProducts(backend.PrecisionExact, "vulkan:0"), "GGML_VK_DISABLE_F16=1")
	assert.Contains(t, roundedProducts(backend.PrecisionF32, "vulkan:1"), "precision f32: vulkan:1")
	assert.Empty(t, roundedProducts(backend.PrecisionF16, "vulkan:0"))
	assert.Empty(t, roundedProducts(backend.PrecisionAuto, "vulkan:0"))
	assert.Empty(t, roundedProducts(backend.PrecisionExact, "cuda:0"))
	assert.Empty(t, roundedProducts(backend.PrecisionExact, "cpu"))
	t.Setenv("GGML_VK_DISABLE_F16", "1")
	assert.Empty(t, roundedProducts(backend.PrecisionExact, "vulkan:0"))
}
