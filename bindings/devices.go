package bindings

// Device describes the device at index, which counts from 0, with its free memory as of now.
func (l *Library) Device(index int32) (deviceInfo, error) {
	out := ready(nil, &deviceInfo{})
	err := check("dg_get_device", func(msg *byte, size uintptr) int32 { return l.fn.getDevice(index, out, msg, size) })
	return *out, err
}

// Devices describes all devices, in the library's order.
func (l *Library) Devices() (list []deviceInfo, err error) {
	var count int32
	err = check("dg_device_count", func(msg *byte, size uintptr) int32 { return l.fn.deviceCount(&count, msg, size) })
	for i := int32(0); i < count && err == nil; i++ {
		var d deviceInfo
		d, err = l.Device(i)
		list = append(list, d)
	}
	return list, err
}
