package bindings

import "runtime"

// Trial mirrors dg_trial: one layer on a device, with random weights and inputs.
type Trial struct {
	StructSize     uintptr
	Device         *byte // set by RunTrial
	Kind           int32 // one of TrialKinds
	Convolution    int32 // one of Convs
	FlashAttention int32 // one of Flashes
	Type           int32
	Batch          int64
	Height         int64
	Width          int64
	In             int64
	Out            int64
	Amplitude      float64
	Repeats        int32
	Threads        int32
}

// RunTrial computes a layer on a device and returns the median time of a run in seconds. values, where it is not nil, gets the result.
func (l *Library) RunTrial(device string, t Trial, values []float32) (seconds float64, err error) {
	const op = "dg_run_trial"
	if t.Device, err = cString(op, "device", device); err != nil {
		return 0, err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	ready(&pins, &t)
	err = check(op, func(msg *byte, size uintptr) int32 {
		return l.fn.runTrial(&t, &seconds, Pointer(values), uintptr(len(values)), msg, size)
	})
	return seconds, err
}
