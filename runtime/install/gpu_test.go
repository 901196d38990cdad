package install

import (
	"errors"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// made is a host with some files and some libraries of the system.
func made(system string, env map[string]string, libraries []string, files ...string) host {
	return host{system: system, getenv: func(name string) string { return env[name] },
		glob: func(pattern string) (found []string) {
			for _, f := range files {
				if ok, _ := path.Match(filepath.ToSlash(pattern), f); ok {
					found = append(found, f)
				}
			}
			return found
		},
		open: func(library string) error {
			if slices.Contains(libraries, library) {
				return nil
			}
			return errors.New("not there")
		}}
}

var (
	both   = []string{"libvulkan.so.1", "libcuda.so.1"}
	nvidia = made("linux", nil, both, "/dev/nvidia0", "/usr/share/vulkan/icd.d/nvidia_icd.json", "/dev/dri/renderD128")
	amd    = made("linux", nil, both[:1], "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "/dev/dri/renderD128")
)

func TestChoices(t *testing.T) {
	mesa := []string{"/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json"}
	windows := map[string]string{"SystemRoot": "/Windows"}
	for _, c := range []struct {
		name string
		host host
		want []string
		says string // of the first choice
	}{
		{"nothing", plainHost, []string{"cpu"}, "no driver of a GPU is here: there is no Vulkan loader (libvulkan.so.1)"},
		{"NVIDIA", nvidia, []string{"cuda", "vulkan", "cpu"}, "NVIDIA's driver is here (libcuda.so.1, /dev/nvidia0)"},
		{"AMD", amd, []string{"vulkan", "cpu"}, "a Vulkan driver and a GPU are here (/usr/share/vulkan/icd.d/radeon_icd.x86_64.json, " +
			"/dev/dri/renderD128)"},
		{"a driver without a device", made("linux", nil, both), []string{"cpu"}, "Vulkan's loader has no driver but software"},
		{"libcuda of a container without a device", made("linux", nil, both[1:]), []string{"cpu"}, "there is no Vulkan loader"},
		{"Mesa's drivers on a server", made("linux", nil, both, mesa...), []string{"cpu"}, "there is no GPU (/dev/dri/renderD*)"},
		{"software only", made("linux", nil, both, mesa[0], "/dev/dri/renderD128"), []string{"cpu"}, "no driver but software"},
		{"WSL", made("linux", nil, both, "/dev/dxg"), []string{"cuda", "cpu"}, "(libcuda.so.1, /dev/dxg)"},
		{"a driver of the environment", made("linux", map[string]string{"VK_DRIVER_FILES": "/opt/x.json"}, both[:1], "/opt/x.json",
			"/dev/dri/renderD129"), []string{"vulkan", "cpu"}, "/opt/x.json, /dev/dri/renderD129"},
		{"the environment has software only", made("linux", map[string]string{"VK_ICD_FILENAMES": mesa[0]}, both[:1], append(mesa,
			"/dev/dri/renderD128")...), []string{"cpu"}, "no driver but software"},
		{"the environment leads nowhere", made("linux", map[string]string{"VK_DRIVER_FILES": "/none"}, both[:1], append(mesa,
			"/dev/dri/renderD128")...), []string{"cpu"}, "no driver but software"},
		{"a driver in the home", made("linux", map[string]string{"HOME": "/home/ann"}, both[:1], "/dev/dri/renderD128",
			"/home/ann/.local/share/vulkan/icd.d/x.json"), []string{"vulkan", "cpu"}, "/home/ann/.local"},
		{"Windows with NVIDIA", made("windows", windows, nil, "/Windows/System32/nvcuda.dll", "/Windows/System32/vulkan-1.dll"),
			[]string{"cuda", "vulkan", "cpu"}, "NVIDIA's driver is here (/Windows/System32/nvcuda.dll)"},
		{"Windows", made("windows", windows, nil, "/Windows/System32/vulkan-1.dll"), []string{"vulkan", "cpu"}, "vulkan-1.dll"},
		{"Windows without", made("windows", windows, nil), []string{"cpu"}, "there is no vulkan-1.dll"},
		{"macOS", made("darwin", nil, both), []string{"cpu"}, "libraries for darwin compute on the CPU"},
	} {
		var have []string
		list := c.host.choices()
		for _, choice := range list {
			have = append(have, choice.variant)
		}
		assert.Equal(t, c.want, have, c.name)
		assert.Contains(t, list[0].why, c.says, c.name)
	}
	assert.NotEmpty(t, thisHost().choices())
}
