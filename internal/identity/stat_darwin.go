package identity

import (
	"io/fs"
	"syscall"
)

func of(st fs.FileInfo) ID {
	id := ID{Size: st.Size(), Modified: st.ModTime().UnixNano()}
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		id.Changed, id.Device, id.Inode = s.Ctimespec.Nano(), uint64(s.Dev), s.Ino
	}
	return id
}
