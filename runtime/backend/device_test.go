package backend

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCandidates(t *testing.T) {
	cpu := Device{ID: "cpu", Kind: DeviceCPU, FreeBytes: 64}
	for _, c := range []struct {
		devices []Device
		want    []string
		first   string
	}{
		{[]Device{cpu}, []string{"cpu"}, "the CPU: no GPU was found"},
		{[]Device{cpu, {ID: "vulkan:0", Kind: DeviceGPU, Software: true}, {ID: "blas", Kind: DeviceAccel}}, []string{"cpu"}, "the CPU: no GPU was found"},
		{[]Device{cpu, {ID: "vulkan:0", Kind: DeviceIGPU}, {ID: "vulkan:1", Kind: DeviceGPU, FreeBytes: 8}, {ID: "cuda:0", Kind: DeviceGPU, FreeBytes: 8}, {ID: "cuda:1", Kind: DeviceGPU, FreeBytes: 16}},
			[]string{"cuda:1", "cuda:0", "vulkan:1", "vulkan:0", "cpu"}, "a GPU with CUDA, with most memory free"},
		{[]Device{{ID: "vulkan:0", Kind: DeviceGPU}, cpu}, []string{"vulkan:0", "cpu"}, "a GPU, which is faster than cpu"},
		{[]Device{{ID: "vulkan:0", Kind: DeviceGPU}}, []string{"vulkan:0"}, "a GPU, the only device"},
		{nil, nil, ""},
	} {
		var ids []string
		list := Candidates(c.devices)
		for _, d := range list {
			ids = append(ids, d.ID)
			assert.NotEmpty(t, d.Reason)
		}
		assert.Equal(t, c.want, ids)
		if len(list) > 0 {
			assert.Equal(t, c.first, list[0].Reason)
		}
		if len(list) > 1 {
			assert.Contains(t, list[1].Reason, "where "+list[0].ID+" fails")
		}
	}
}
