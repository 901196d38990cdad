package bindings

// bootFuncs are the functions that may be called before anything is known about a library.
type bootFuncs struct {
	// DG_API int32_t dg_abi_version(void);
	abiVersion func() int32

	// DG_API dg_status dg_get_build_info(dg_build_info* out, char* msg, size_t msg_cap);
	getBuildInfo func(out *BuildInfo, msg *byte, msgCap uintptr) int32

	// DG_API int64_t dg_live_handles(void);
	liveHandles func() int64
}

func (f *bootFuncs) symbols() []symbol {
	return []symbol{
		{"dg_abi_version", &f.abiVersion},
		{"dg_get_build_info", &f.getBuildInfo},
		{"dg_live_handles", &f.liveHandles},
	}
}

// BuildInfo says what the library is, what it was compiled for and what this CPU offers. The value is
// the caller's.
func (l *Library) BuildInfo() BuildInfo { return l.info }

// LiveHandles returns how many models were opened through l and not closed yet, as counted here.
func (l *Library) LiveHandles() int64 { return l.live.Load() }

// NativeLiveHandles returns the same number as counted by the library.
func (l *Library) NativeLiveHandles() int64 { return l.fn.liveHandles() }
