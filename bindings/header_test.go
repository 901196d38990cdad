package bindings

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/daguerre-go/daguerre/bindings/bindingstest"
)

// header is what daguerre.h declares, read with regular expressions that rely on its plain style: a
// declaration they cannot read makes the audits fail, not pass.
type header struct {
	structs   []cStruct
	constants []string // names of enum values and of #define DG_... with a value
	functions []cFunction
}

type cStruct struct {
	name   string
	fields []string
}

type cFunction struct {
	name       string
	prototype  string   // as written, without comments, white space made single
	parameters []string // types as written: "const dg_unet_input*"
	result     string
}

var (
	commentPattern  = regexp.MustCompile(`(?s)/\*.*?\*/`)
	spacePattern    = regexp.MustCompile(`\s+`)
	handlePattern   = regexp.MustCompile(`typedef struct (\w+) \w+;`) // what the caller sees nothing of
	structPattern   = regexp.MustCompile(`(?s)typedef struct (\w+) \{(.*?)\} (\w+);`)
	fieldPattern    = regexp.MustCompile(`(\w+)(?:\[\w+\])?$`)
	enumPattern     = regexp.MustCompile(`(?s)\benum\s*\w*\s*\{(.*?)\}`)
	definePattern   = regexp.MustCompile(`(?m)^#define (DG_\w+)[ \t]+\d+\s*$`)
	functionPattern = regexp.MustCompile(`(?s)DG_API ([\w ]+?) (dg_\w+)\(([^)]*)\);`)
	paramPattern    = regexp.MustCompile(`^(.*?[ *])(\w+)$`)
)

func readHeader(t *testing.T) header {
	t.Helper()
	text, err := os.ReadFile(bindingstest.Header(t))
	if err != nil {
		t.Fatal(err)
	}
	return parseHeader(t, string(text))
}

func parseHeader(t *testing.T, text string) header {
	t.Helper()
	text = commentPattern.ReplaceAllString(text, " ")
	var h header
	for _, m := range structPattern.FindAllStringSubmatch(text, -1) {
		s := cStruct{name: m[3]}
		for _, declaration := range strings.Split(m[2], ";") {
			declaration = strings.TrimSpace(declaration)
			if declaration == "" {
				continue
			}
			field := fieldPattern.FindStringSubmatch(declaration)
			if field == nil || strings.Contains(declaration, ",") {
				t.Fatalf("%s: cannot read the field %q", s.name, declaration)
			}
			s.fields = append(s.fields, field[1])
		}
		h.structs = append(h.structs, s)
	}
	for _, m := range definePattern.FindAllStringSubmatch(text, -1) {
		h.constants = append(h.constants, m[1])
	}
	for _, m := range enumPattern.FindAllStringSubmatch(text, -1) {
		for _, value := range strings.Split(m[1], ",") {
			if name, _, _ := strings.Cut(value, "="); strings.TrimSpace(name) != "" {
				h.constants = append(h.constants, strings.TrimSpace(name))
			}
		}
	}
	for _, m := range functionPattern.FindAllStringSubmatch(text, -1) {
		f := cFunction{name: m[2], result: m[1], prototype: strings.TrimSpace(spacePattern.ReplaceAllString(m[0], " "))}
		for _, parameter := range strings.Split(m[3], ",") {
			parameter = strings.TrimSpace(spacePattern.ReplaceAllString(parameter, " "))
			if parameter == "void" {
				continue
			}
			p := paramPattern.FindStringSubmatch(parameter)
			if p == nil {
				t.Fatalf("%s: cannot read the parameter %q", f.name, parameter)
			}
			f.parameters = append(f.parameters, strings.TrimSpace(p[1]))
		}
		h.functions = append(h.functions, f)
	}
	// What the patterns do not match must not go unseen.
	for what, counts := range map[string][2]int{
		"structs":   {strings.Count(text, "typedef struct dg_") - len(handlePattern.FindAllString(text, -1)), len(h.structs)},
		"functions": {strings.Count(text, "DG_API ") - strings.Count(text, "#define DG_API "), len(h.functions)},
	} {
		if counts[0] != counts[1] || counts[0] == 0 {
			t.Fatalf("daguerre.h declares %d %s, %d were read", counts[0], what, counts[1])
		}
	}
	return h
}
