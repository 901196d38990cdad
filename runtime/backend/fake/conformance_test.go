package fake

import (
	"testing"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/backendtest"
)

func TestConformance(t *testing.T) {
	for name, b := range map[string]*Backend{"base": {}, "inpaint": {InChannels: 9}, "lanes": {VAELanes: 2}} {
		t.Run(name, func(t *testing.T) {
			backendtest.Test(t, backendtest.Models{Backend: b,
				ControlNet: backend.ModelConfig{Files: backend.Files{ControlNet: "union"}},
				TAESD:      backend.ModelConfig{Files: backend.Files{TAESD: "taesd"}},
				Upscaler:   backend.ModelConfig{Files: backend.Files{Upscaler: "esrgan"}},
				Detector:   backend.ModelConfig{Files: backend.Files{Detector: "yolo"}},
			})
		})
	}
}
