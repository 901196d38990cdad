//go:build !linux

package machine

// rlimits are not asked for where the memory is not known either.
func rlimits() resourceLimits { return resourceLimits{-1, -1, -1} }
