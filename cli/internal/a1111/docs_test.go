package a1111

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
)

func TestDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| setting | | without it |\n|---|---|---|\n")
	for _, s := range settings {
		value := "`" + fmt.Sprint(s.value) + "`"
		if s.name == setModel {
			value = "the first model"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, s.does, value)
	}
	servetest.Documented(t, "settings", b.String())
}
