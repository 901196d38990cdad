package bindings

import "unsafe"

// profileFuncs tell where a model's time goes.
type profileFuncs struct {
	// DG_API dg_status dg_model_set_profile(dg_model* model, int32_t enabled, char* msg, size_t msg_cap);
	setProfile func(model uintptr, enabled int32, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_model_get_profile(const dg_model* model, dg_profile_entry* entries, size_t cap, size_t* count, char* msg, size_t msg_cap);
	getProfile func(model uintptr, entries *ProfileEntry, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32
}

func (f *profileFuncs) symbols() []symbol {
	return []symbol{
		{"dg_model_set_profile", &f.setProfile},
		{"dg_model_get_profile", &f.getProfile},
	}
}

// ProfileEntry mirrors dg_profile_entry.
type ProfileEntry struct {
	StructSize uintptr
	Stage      Name
	Op         Name // as ggml calls it, or one of our kernels
	Module     Desc // whose weights were read last
	Calls      int64
	Seconds    float64
	Operations float64 // multiplications and additions of products and attention
}

// SetProfile turns measuring on or off and forgets what was measured. While it is on, graphs are computed node by node.
func (m *Model) SetProfile(enabled bool) error {
	var on int32
	if enabled {
		on = 1
	}
	return m.call("dg_model_set_profile", func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.setProfile(handle, on, msg, msgCap)
	})
}

// Profile returns what was measured since SetProfile(true), in the order of stages, modules and operations.
func (m *Model) Profile() ([]ProfileEntry, error) {
	const op = "dg_model_get_profile"
	var entries []ProfileEntry
	for {
		var count uintptr
		err := m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
			return m.lib.fn.getProfile(handle, unsafe.SliceData(entries), uintptr(len(entries)), &count, msg, msgCap)
		})
		if err != nil || int(count) <= len(entries) {
			return entries[:min(int(count), len(entries))], err
		}
		entries = make([]ProfileEntry, count)
		for i := range entries {
			entries[i].StructSize = unsafe.Sizeof(entries[i])
		}
	}
}
