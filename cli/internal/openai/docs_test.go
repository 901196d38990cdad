package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
)

func TestDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| field | |\n|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.name, f.does)
	}
	servetest.Documented(t, "openai", b.String())
}
