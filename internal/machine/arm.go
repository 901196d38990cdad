package machine

import (
	"slices"
	"strings"
)

// armDesigners and armParts are what Linux on ARM writes into /proc/cpuinfo in place of a name: the designer of a core, and among ARM's own
// cores the part (the fields Implementer and PartNum of the register MIDR_EL1, from ARM's manuals of the cores).
var (
	armDesigners = map[string]string{"0x41": "ARM", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA", "0x51": "Qualcomm",
		"0x61": "Apple", "0x6d": "Microsoft", "0xc0": "Ampere"}
	armParts = map[string]string{"0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
		"0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse N1",
		"0xd0d": "Cortex-A77", "0xd40": "Neoverse V1", "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510",
		"0xd47": "Cortex-A710", "0xd48": "Cortex-X2", "0xd49": "Neoverse N2", "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3",
		"0xd4f": "Neoverse V2", "0xd80": "Cortex-A520", "0xd81": "Cortex-A720", "0xd82": "Cortex-X4", "0xd84": "Neoverse V3"}
)

// armCores names the kinds of cores in the text of an ARM machine's /proc/cpuinfo, each once: "ARM Cortex-A76 + ARM Cortex-A55"; "" where
// it tells none.
func armCores(info string) string {
	var designer string
	var kinds []string
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "CPU implementer":
			if designer = armDesigners[value]; designer == "" {
				designer = "designer " + value
			}
		case "CPU part":
			kind := designer + " part " + value
			if name := armParts[value]; name != "" && designer == "ARM" {
				kind = designer + " " + name
			}
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return strings.Join(kinds, " + ")
}
