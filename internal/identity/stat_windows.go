package identity

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// from1601 are the ticks of 100 ns between the years 1601 and 1970.
const from1601 = 116444736000000000

// ofPath opens the name for its attributes only, which works while another program has it open for itself alone.
func ofPath(path string) (ID, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	defer func() { _ = windows.CloseHandle(h) }()
	id, err := ofHandle(h)
	if err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return id, nil
}

func ofFile(f *os.File) (ID, error) {
	id, err := ofHandle(windows.Handle(f.Fd()))
	if err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return id, nil
}

// ofHandle agrees with file_status in native/src/base/files_windows.cpp.
func ofHandle(h windows.Handle) (ID, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return ID{}, err
	}
	var basic struct { // FILE_BASIC_INFO
		created, accessed, written, changed int64
		attributes                          uint32
	}
	err := windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err != nil {
		return ID{}, err
	}
	return ID{Size: int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow), Modified: nanoseconds(basic.written),
		Changed: nanoseconds(basic.changed), Device: uint64(info.VolumeSerialNumber),
		Inode: uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}, nil
}

// nanoseconds counts from 1970; times before, and one that the file system does not keep, are 0.
func nanoseconds(ticks int64) int64 { return max(ticks-from1601, 0) * 100 }
