package backend

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// DeviceKind says what a device is.
type DeviceKind string

// The kinds of device, as ggml names them.
const (
	DeviceCPU   DeviceKind = "cpu"
	DeviceGPU   DeviceKind = "gpu"
	DeviceIGPU  DeviceKind = "igpu"
	DeviceAccel DeviceKind = "accel"
)

// Device can compute.
type Device struct {
	ID          string     `json:"id"` // "cpu", "vulkan:0", "cuda:1": what options take
	Description string     `json:"description"`
	Kind        DeviceKind `json:"kind"`
	Software    bool       `json:"software"` // the CPU plays a GPU; it is never chosen by itself
	TotalBytes  int64      `json:"total_bytes"`
	FreeBytes   int64      `json:"free_bytes"` // when the device was listed

	Driver         string `json:"driver,omitempty"`           // name and version; "": the CPU, or not known
	MaxTensorBytes int64  `json:"max_tensor_bytes,omitempty"` // the largest tensor that it computes with; 0: memory is the limit
	MaxBufferBytes int64  `json:"max_buffer_bytes,omitempty"` // the largest single allocation; more is divided; 0: memory is the limit
}

// GPU reports whether ways of computing can be chosen on the device.
func (d Device) GPU() bool { return d.Kind == DeviceGPU || d.Kind == DeviceIGPU }

// DeviceEnv names an environment variable with the device that is taken where none is named.
const DeviceEnv = "DAGUERRE_DEVICE"

// Named is the device that a configuration means: its own, or that of DeviceEnv; "" where the best is meant.
func Named(device string) string {
	if device == "" || device == "auto" {
		return os.Getenv(DeviceEnv)
	}
	return device
}

// Candidate is a device that is good to compute on if nobody names one.
type Candidate struct {
	Device
	Reason string // why it has this place, in words
}

// Candidates lists the devices that "auto" may mean, the best first: CUDA, then other GPUs, then graphics within the processor,
// then the CPU. Among equals the one with the most free memory is first. Software devices are left out, and so are accelerators,
// which the CPU's device uses.
func Candidates(devices []Device) []Candidate {
	var list []Candidate
	for _, d := range devices {
		if rank(d) < 0 {
			continue
		}
		list = append(list, Candidate{Device: d})
	}
	slices.SortStableFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(rank(a.Device), rank(b.Device)), cmp.Compare(b.FreeBytes, a.FreeBytes))
	})
	for i := range list {
		list[i].Reason = reason(list, i)
	}
	return list
}

// rank is a device's place in the order; negative for what is never chosen.
func rank(d Device) int {
	switch {
	case d.Software:
		return -1
	case d.Kind == DeviceGPU && strings.HasPrefix(d.ID, "cuda"):
		return 0
	case d.Kind == DeviceGPU:
		return 1
	case d.Kind == DeviceIGPU:
		return 2
	case d.Kind == DeviceCPU:
		return 3
	}
	return -1
}

func reason(list []Candidate, i int) string {
	d := list[i].Device
	what := map[int]string{0: "a GPU with CUDA", 1: "a GPU", 2: "graphics within the processor", 3: "the CPU"}[rank(d)]
	switch {
	case len(list) == 1 && d.Kind == DeviceCPU:
		return "the CPU: no GPU was found"
	case len(list) == 1:
		return what + ", the only device"
	case i == 0 && rank(list[1].Device) == rank(d):
		return what + ", with most memory free"
	case i == 0:
		return what + ", which is faster than " + list[1].ID
	}
	return fmt.Sprintf("%s, where %s fails", what, list[i-1].ID)
}
