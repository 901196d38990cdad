package install

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// host is what the search for drivers reads of a machine.
type host struct {
	system string // runtime.GOOS
	getenv func(string) string
	glob   func(pattern string) []string
	open   func(library string) error
}

func thisHost() host {
	return host{system: runtime.GOOS, getenv: os.Getenv, open: native.OpenSystem, glob: func(pattern string) []string {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		return found
	}}
}

// choice is a variant that may be fetched, and why.
type choice struct{ variant, why string }

// choices lists the variants that this machine has drivers for, best first, and the CPU's in the end. It asks for drivers, not for devices:
// a library that finds no GPU computes on the CPU.
func (h host) choices() []choice {
	var list []choice
	if why := h.cuda(); why != "" {
		list = append(list, choice{"cuda", why})
	}
	why, missing := h.vulkan()
	if why != "" {
		list = append(list, choice{"vulkan", why})
	}
	if len(list) == 0 {
		missing = "no driver of a GPU is here: " + missing
	} else {
		missing = "every machine can use it"
	}
	return append(list, choice{"cpu", missing})
}

// cuda tells which driver of NVIDIA is here; "" for none.
func (h host) cuda() string {
	switch h.system {
	case "linux":
		device := h.first("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg") // the last in WSL
		if device != "" && h.open("libcuda.so.1") == nil {
			return fmt.Sprintf("NVIDIA's driver is here (libcuda.so.1, %s)", device)
		}
	case "windows":
		if dll := h.system32("nvcuda.dll"); dll != "" {
			return fmt.Sprintf("NVIDIA's driver is here (%s)", dll)
		}
	}
	return ""
}

// vulkan tells which driver of Vulkan is here, or what is missing.
func (h host) vulkan() (why, missing string) {
	switch h.system {
	case "windows": // drivers of GPUs bring the loader
		if dll := h.system32("vulkan-1.dll"); dll != "" {
			return fmt.Sprintf("a Vulkan driver is here (%s)", dll), ""
		}
		return "", "there is no vulkan-1.dll"
	case "linux":
		if err := h.open("libvulkan.so.1"); err != nil {
			return "", "there is no Vulkan loader (libvulkan.so.1)"
		}
		driver := h.icd()
		if driver == "" {
			return "", "Vulkan's loader has no driver but software"
		}
		// Distributions install drivers for GPUs that a machine does not have.
		device := h.first("/dev/dri/renderD*", "/dev/nvidia0", "/dev/dxg")
		if device == "" {
			return "", "there is no GPU (/dev/dri/renderD*)"
		}
		return fmt.Sprintf("a Vulkan driver and a GPU are here (%s, %s)", driver, device), ""
	}
	return "", "libraries for " + h.system + " compute on the CPU"
}

// icd is the description of a driver that is no software device; "" for none. The folders are those of Vulkan's loader.
func (h host) icd() string {
	var files []string
	for _, name := range []string{"VK_DRIVER_FILES", "VK_ICD_FILENAMES"} {
		if list := h.getenv(name); list != "" && files == nil {
			for _, p := range filepath.SplitList(list) {
				files = append(files, h.glob(p)...)
				files = append(files, h.glob(path.Join(p, "*.json"))...)
			}
			if files == nil {
				return ""
			}
		}
	}
	if files == nil {
		home := h.getenv("HOME")
		for _, dir := range []string{h.getenv("XDG_DATA_HOME"), path.Join(home, ".local/share"), "/etc", "/usr/local/etc",
			"/usr/local/share", "/usr/share", "/run/opengl-driver/share"} {
			if path.IsAbs(dir) {
				files = append(files, h.glob(path.Join(dir, "vulkan", "icd.d", "*.json"))...)
			}
		}
	}
	for _, f := range files {
		name := path.Base(f)
		if !strings.HasPrefix(name, "lvp_") && !strings.Contains(name, "swiftshader") {
			return f
		}
	}
	return ""
}

// first is the first file that is there, of patterns.
func (h host) first(patterns ...string) string {
	for _, p := range patterns {
		if found := h.glob(p); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

func (h host) system32(name string) string {
	return h.first(filepath.Join(h.getenv("SystemRoot"), "System32", name))
}
