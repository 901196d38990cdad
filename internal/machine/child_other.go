//go:build !unix

package machine

import "os"

// PeakRSSOf returns 0: it is not known here.
func PeakRSSOf(*os.ProcessState) int64 { return 0 }
