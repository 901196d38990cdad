package output

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/daguerre-go/daguerre/internal/words"
)

// maxNameUnits is the longest name of a file or folder on Windows, in units of UTF-16.
const maxNameUnits = 255

// checkSystem refuses a path that Windows would take for something else than a file of this name.
func checkSystem(path string) error {
	if runtime.GOOS != "windows" {
		return nil
	}
	return windowsName(path[len(filepath.VolumeName(path)):])
}

// windowsName checks the elements of a path without its drive. Windows takes "con.png" for the console, drops points and spaces at an
// element's end, and writes "a:b" into a hidden stream of the file "a".
func windowsName(path string) error {
	for element := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		wrong := ""
		switch {
		case element == "." || element == "..":
			continue
		case strings.ContainsAny(element, `<>:"|?*`):
			wrong = fmt.Sprintf("Windows does not allow %q in a name", element[strings.IndexAny(element, `<>:"|?*`)])
		case strings.TrimRight(element, ". ") != element:
			wrong = "Windows drops a point or space at the end of a name"
		case len(utf16.Encode([]rune(element))) > maxNameUnits:
			wrong = fmt.Sprintf("a name has at most %d characters", maxNameUnits)
		case isDevice(element):
			wrong = "Windows keeps this name for a device"
		case slices.ContainsFunc([]rune(element), func(r rune) bool { return r < 0x20 }):
			wrong = "Windows does not allow control characters in a name"
		default:
			continue
		}
		return fmt.Errorf("output %s: %q: %s; choose another with -o", words.Clip(path), words.Clip(element), wrong)
	}
	return nil
}

// isDevice reports whether Windows takes a name for a device, whatever follows the first point.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToLower(strings.TrimRight(stem, " "))
	if slices.Contains([]string{"con", "prn", "aux", "nul", "conin$", "conout$"}, stem) {
		return true
	}
	port, number := strings.CutPrefix(stem, "com")
	if !number {
		port, number = strings.CutPrefix(stem, "lpt")
	}
	return number && slices.Contains([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"}, port)
}
