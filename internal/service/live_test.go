package service

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestChangesTogether(t *testing.T) {
	a := Change{Name: "ink", Weight: new(1.0), Text: new(0.5)}
	assert.Equal(t, Change{Name: "ink", Weight: new(1.0), UNet: new(2.0), Text: new(0.5), Enabled: new(false)}, a.Then(Change{Name: "ink",
		UNet: new(2.0), Enabled: new(false)}))
	assert.Equal(t, Change{Name: "ink", Weight: new(0.0)}, a.Then(Change{Name: "ink", Weight: new(0.0)}))
	assert.True(t, a.Same(Change{Name: "Ink", Job: new(0)}))
	assert.False(t, a.Same(Change{Name: "ink", Job: new(1)}))
	assert.False(t, a.Same(Change{Name: "pen"}))
}
