package main

import (
	"fmt"
	"slices"
	"strings"
)

// rulesMarker names the comments in .golangci.yml between which depguard's rules stand.
const rulesMarker = "imports"

// rulesOf are depguard's rules of who may import whom: for each package a strict list of all that it imports, but the standard library.
func rulesOf(packages []pack) string {
	var b strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&b, "        %s:\n          list-mode: strict\n          files: [\"**/%s/*.go\", \"!$test\"]\n"+
			"          allow:\n            - $gostd\n", strings.ReplaceAll(p.ImportPath, "/", "-"), p.ImportPath)
		for _, i := range slices.Sorted(slices.Values(p.Imports)) {
			fmt.Fprintf(&b, "            - %s%s$\n", module, i)
		}
		for _, l := range p.libraries {
			fmt.Fprintf(&b, "            - %s$\n", l)
		}
	}
	return b.String() + "        # " // the end marker's comment
}
