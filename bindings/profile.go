package bindings

// profileEntry mirrors dg_profile_entry.
type profileEntry struct {
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
	return m.set("dg_model_set_profile", m.lib.fn.modelSetProfile, flag(enabled))
}

// Profile returns what was measured since SetProfile(true), in the order of stages, modules and operations.
func (m *Model) Profile() ([]profileEntry, error) {
	return fetch(m, "dg_model_get_profile", m.lib.fn.modelGetProfile)
}
