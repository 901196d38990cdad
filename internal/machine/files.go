package machine

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// host is the machine's file system; tests read others.
var host = os.DirFS("/")

// readText returns a file's text without blanks at its ends; "" where there is none.
func readText(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// readNumber reads a file of one number; "max" is no number.
func readNumber(root fs.FS, name string) (int64, bool) {
	n, err := strconv.ParseUint(readText(root, name), 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(min(n, 1<<63-1)), true
}

// readTable reads lines like "MemTotal:  24576 kB", "rchar: 12" and "inactive_file 7" into numbers; kB become bytes.
func readTable(root fs.FS, name string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(readText(root, name)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		if len(f) == 3 && f[2] == "kB" {
			n <<= 10
		}
		out[strings.TrimSuffix(f[0], ":")] = n
	}
	return out
}
