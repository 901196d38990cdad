//go:build !linux && !windows && !darwin

package identity

import "io/fs"

func of(st fs.FileInfo) ID { return ID{Size: st.Size(), Modified: st.ModTime().UnixNano()} }
