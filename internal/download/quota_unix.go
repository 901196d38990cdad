//go:build !windows

package download

import "syscall"

// errQuota says that the user's share of a disk is full.
var errQuota error = syscall.EDQUOT
