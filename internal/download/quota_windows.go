package download

import "golang.org/x/sys/windows"

// errQuota says that a disk is full in Windows's own words.
var errQuota error = windows.ERROR_DISK_FULL
