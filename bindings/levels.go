package bindings

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

// envLevel names the environment variable that chooses the level of the CPU library.
const envLevel = "DAGUERRE_CPU_LEVEL"

// level is a set of instructions that a released CPU library is compiled for. Such a library's file name ends in the level, so that
// several lie in one folder; cmake/levels.cmake has the same table. A library without a level in its name is somebody's own build.
type level struct {
	name  string
	needs []feature
}

// feature is an instruction set, and whether this CPU and its system offer it.
type feature struct {
	name string
	has  bool
}

// levelVariant is the variant that has levels: for GPUs the work is elsewhere.
const levelVariant = "cpu"

// hostLevels returns the levels of this machine's kind of CPU, best first.
func hostLevels() []level {
	x, arm := &cpu.X86, &cpu.ARM64
	switch runtime.GOARCH {
	case "amd64":
		avx2 := []feature{{"sse4.2", x.HasSSE42}, {"avx", x.HasAVX}, {"avx2", x.HasAVX2}, {"bmi2", x.HasBMI2}, {"fma", x.HasFMA},
			{"f16c", x.HasF16C}}
		avx512 := slices.Concat(avx2, []feature{{"avx512f", x.HasAVX512F}, {"avx512cd", x.HasAVX512CD}, {"avx512vl", x.HasAVX512VL},
			{"avx512dq", x.HasAVX512DQ}, {"avx512bw", x.HasAVX512BW}})
		bf16 := slices.Concat(avx512, []feature{{"avx512_vbmi", x.HasAVX512VBMI}, {"avx512_vnni", x.HasAVX512VNNI},
			{"avx512_bf16", x.HasAVX512BF16}})
		amx := slices.Concat(bf16, []feature{{"amx_tile", x.HasAMXTile}, {"amx_int8", x.HasAMXInt8}, {"amx_bf16", x.HasAMXBF16}})
		levels := []level{{"amx", amx}, {"bf16", bf16}, {"avx512", avx512}, {"avx2", avx2}}
		if runtime.GOOS == "windows" { // a process must ask for AMX's registers there first, which nobody could test
			return levels[1:]
		}
		return levels
	case "arm64":
		// Every Apple CPU with arm64 has dot products, whatever cpu can find out there.
		apple := runtime.GOOS == "darwin"
		neon := []feature{{"asimd", apple || arm.HasASIMD}}
		dotprod := slices.Concat(neon, []feature{{"asimddp", apple || arm.HasASIMDDP}})
		i8mm := slices.Concat(dotprod, []feature{{"i8mm", arm.HasI8MM}})
		return []level{{"i8mm", i8mm}, {"dotprod", dotprod}, {"neon", neon}}
	}
	return nil
}

// lacks names what this CPU does not have of a level.
func (l level) lacks() []string {
	var names []string
	for _, f := range l.needs {
		if !f.has {
			names = append(names, f.name)
		}
	}
	return names
}

// levelFile is the file name of the CPU library of a level.
func levelFile(name string) string {
	plain := fileName(levelVariant)
	extension := filepath.Ext(plain)
	return strings.TrimSuffix(plain, extension) + "-" + name + extension
}

// levelOf returns the level that a file's name ends in.
func levelOf(path string, levels []level) (level, bool) {
	i := slices.IndexFunc(levels, func(l level) bool { return filepath.Base(path) == levelFile(l.name) })
	if i < 0 {
		return level{}, false
	}
	return levels[i], true
}

// forcedLevel returns the level that the environment asks for, or "".
func (p places) forcedLevel() (string, error) {
	name := p.getenv(envLevel)
	if name == "" || slices.ContainsFunc(p.levels, func(l level) bool { return l.name == name }) {
		return name, nil
	}
	var known []string
	for _, l := range slices.Backward(p.levels) {
		known = append(known, l.name)
	}
	if len(known) == 0 {
		return "", fmt.Errorf("bindings: $%s is %q, but for %s there are no levels; unset it", envLevel, name, runtime.GOARCH)
	}
	return "", fmt.Errorf("bindings: $%s is %q; the levels are %s", envLevel, name, strings.Join(known, ", "))
}
