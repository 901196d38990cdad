//go:build !linux

package machine

// RSS returns 0: it cannot be told here.
func RSS() int64 { return 0 }

// RAM returns zeros: it cannot be told here.
func RAM() (total, available int64) { return 0, 0 }
