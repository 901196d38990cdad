//go:build !windows

package serve

// hasModes tells that the modes of files say who can read them.
const hasModes = true
