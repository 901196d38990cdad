//go:build !linux && !windows

package identity

import "io/fs"

func of(st fs.FileInfo) ID { return ID{Size: st.Size(), Modified: st.ModTime().UnixNano()} }
