//go:build !unix

package output

import "os"

// lockFile does nothing where there is no flock: two equal commands at once then share a journal.
func lockFile(*os.File) error { return nil }
