package output

import "os"

// mkfifo makes a folder: the file systems of Windows hold no named pipes.
func mkfifo(path string) error { return os.Mkdir(path, 0o700) }
