package native

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestLostWhileOpening: a device that is lost while a model is opened is lost for the process. One that is not there is a mistake.
func TestLostWhileOpening(t *testing.T) {
	for _, c := range []struct {
		op, message string
		code        bindings.Code
		lost        bool
	}{
		{opUNet, "computing on vulkan:0 failed", bindings.ErrDevice, true},
		{opOpen, "weights of the unet: vulkan:0 (a GPU) was lost: vk::Queue::submit: ErrorDeviceLost", bindings.ErrDevice, true},
		{opOpen, "device: 'vulkan:7' is not one of this machine's devices: cpu", bindings.ErrDevice, false},
		{opOpen, "was lost: the file", bindings.ErrFile, false},
	} {
		err := fmt.Errorf("opening: %w", &Error{c.op, &bindings.Error{Code: c.code, Op: "dg", Message: c.message}})
		if c.lost {
			assert.ErrorIs(t, err, backend.ErrDeviceLost, c.message)
		} else {
			assert.NotErrorIs(t, err, backend.ErrDeviceLost, c.message)
		}
	}
}
