package bindings

// deviceFuncs list what can be computed on.
type deviceFuncs struct {
	// DG_API dg_status dg_device_count(int32_t* count, char* msg, size_t msg_cap);
	deviceCount func(count *int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_get_device(int32_t index, dg_device_info* out, char* msg, size_t msg_cap);
	getDevice func(index int32, out *DeviceInfo, msg *byte, msgCap uintptr) int32
}

func (f *deviceFuncs) symbols() []symbol {
	return []symbol{
		{"dg_device_count", &f.deviceCount},
		{"dg_get_device", &f.getDevice},
	}
}

// DeviceCount returns how many devices there are.
func (l *Library) DeviceCount() (int, error) {
	var count int32
	err := check("dg_device_count", func(msg *byte, msgCap uintptr) int32 {
		return l.fn.deviceCount(&count, msg, msgCap)
	})
	return int(count), err
}

// Device describes the device at index, which counts from 0, with its free memory as of now.
func (l *Library) Device(index int) (DeviceInfo, error) {
	out := NewDeviceInfo()
	if int(int32(index)) != index {
		return *out, argumentf("dg_get_device", "index %d does not fit 32 bits", index)
	}
	err := check("dg_get_device", func(msg *byte, msgCap uintptr) int32 {
		return l.fn.getDevice(int32(index), out, msg, msgCap)
	})
	return *out, err
}

// Devices describes all devices, in the library's order.
func (l *Library) Devices() ([]DeviceInfo, error) {
	n, err := l.DeviceCount()
	if err != nil {
		return nil, err
	}
	devices := make([]DeviceInfo, 0, max(n, 0))
	for i := range n {
		d, err := l.Device(i)
		if err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	return devices, nil
}
