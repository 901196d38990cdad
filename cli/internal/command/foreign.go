package command

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// foreignText says what stands for the flags of other programs. Its head tells how it is written.
//
//go:embed foreign.txt
var foreignText string

// foreignFlags are the answers by the names of flags, folded.
var foreignFlags = readForeign(foreignText)

func readForeign(text string) map[string]string {
	out := map[string]string{}
	_, text, _ = strings.Cut(text, "\n\n")
	whose := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if of, ok := strings.CutPrefix(line, "== "); ok {
			whose = of
		}
		names, answer, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			if _, known := out[words.Fold(name)]; !known {
				out[words.Fold(name)] = whose + " has it; here " + answer
			}
		}
	}
	return out
}

// foreignCommands are the commands that people give the flags of other programs.
var foreignCommands = []string{name + " generate", name + " plan"}

// foreignFlag says what does here what another program's flag does; "": no other program is known to have it.
func foreignFlag(command, flag string) string {
	if len(flag) < 2 || !slices.Contains(foreignCommands, command) {
		return ""
	}
	return foreignFlags[words.Fold(flag)]
}
