package bindings

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goTypes says how a C parameter or result is passed from Go.
var goTypes = map[string]reflect.Type{
	"int32_t": reflect.TypeFor[int32](), "dg_status": reflect.TypeFor[int32](),
	"int64_t": reflect.TypeFor[int64](), "size_t": reflect.TypeFor[uintptr](),
	"int32_t*": reflect.TypeFor[*int32](), "size_t*": reflect.TypeFor[*uintptr](),
	"char*": reflect.TypeFor[*byte](), "const char*": reflect.TypeFor[*byte](),
	"double*": reflect.TypeFor[*float64](), "float*": reflect.TypeFor[*float32](), "const float*": reflect.TypeFor[*float32](),
	"uint8_t*": reflect.TypeFor[*byte](), "const uint8_t*": reflect.TypeFor[*byte](),
	"dg_model*": reflect.TypeFor[uintptr](), "const dg_model*": reflect.TypeFor[uintptr](),
	"dg_lora*": reflect.TypeFor[uintptr](), "const dg_lora*": reflect.TypeFor[uintptr](), "dg_lora**": reflect.TypeFor[*uintptr](),
	"dg_features**": reflect.TypeFor[*uintptr](), "dg_residuals*": reflect.TypeFor[uintptr](), "dg_residuals**": reflect.TypeFor[*uintptr](),
	"int64_t*": reflect.TypeFor[*int64](), "const int64_t*": reflect.TypeFor[*int64](), "double": reflect.TypeFor[float64](),
	"dg_model**": reflect.TypeFor[*uintptr](), "dg_log_callback": reflect.TypeFor[uintptr](),
}

// goType returns the Go type for a C type: one of goTypes, or a pointer to a struct's mirror.
func goType(c string) (reflect.Type, bool) {
	if t, ok := goTypes[c]; ok {
		return t, true
	}
	name, ok := strings.CutSuffix(strings.TrimPrefix(c, "const "), "*")
	if mirror, known := mirrors[name]; ok && known {
		return reflect.PointerTo(mirror), true
	}
	return nil, false
}

// auditTable returns every difference between the bindings and the functions of the header.
func auditTable(symbols []symbol, functions []cFunction) []string {
	var faults []string
	bound := map[string]reflect.Type{}
	variables := map[uintptr]string{}
	for _, s := range symbols {
		if _, twice := bound[s.name]; twice {
			faults = append(faults, s.name+" is bound twice")
		}
		v := reflect.ValueOf(s.fptr)
		bound[s.name] = v.Type().Elem()
		if other, twice := variables[v.Pointer()]; twice {
			faults = append(faults, s.name+" and "+other+" share a variable")
		}
		variables[v.Pointer()] = s.name
	}
	for _, f := range functions {
		got, ok := bound[f.name]
		if !ok {
			faults = append(faults, f.name+" has no binding")
			continue
		}
		delete(bound, f.name)
		faults = append(faults, auditSignature(f, got)...)
	}
	for name := range bound {
		faults = append(faults, name+" is not in the header")
	}
	return faults
}

func auditSignature(f cFunction, got reflect.Type) []string {
	if got.NumIn() != len(f.parameters) || got.NumOut() != 1 {
		return []string{fmt.Sprintf("%s takes %d arguments in Go, %d in C", f.name, got.NumIn(), len(f.parameters))}
	}
	var faults []string
	compare := func(what, c string, have reflect.Type) {
		if want, known := goType(c); !known {
			faults = append(faults, fmt.Sprintf("%s: %s has the unknown C type %q", f.name, what, c))
		} else if want != have {
			faults = append(faults, fmt.Sprintf("%s: %s is %s in Go, %s in C", f.name, what, have, c))
		}
	}
	for i, c := range f.parameters {
		compare(fmt.Sprintf("argument %d", i), c, got.In(i))
	}
	compare("the result", f.result, got.Out(0))
	return faults
}

func TestEveryFunctionHasOneBinding(t *testing.T) {
	var fn tableFuncs
	require.Empty(t, auditTable(fn.symbols(), readHeader(t).functions))
}

func TestTableAuditFindsPlantedDefects(t *testing.T) {
	functions := readHeader(t).functions
	var narrow func(model uintptr, flag int64, msg *byte, msgCap uintptr) int32
	var short func(count *int32, msg *byte) int32
	var value func(index int32, out deviceInfo, msg *byte, msgCap uintptr) int32
	replace := func(name string, fptr any) func(*tableFuncs) []symbol {
		return func(fn *tableFuncs) []symbol {
			all := fn.symbols()
			for i := range all {
				if all[i].name == name {
					all[i].fptr = fptr
				}
			}
			return all
		}
	}
	for what, defect := range map[string]struct {
		mutate func(*tableFuncs) []symbol
		finds  string
	}{
		"a missing binding":     {func(fn *tableFuncs) []symbol { return fn.symbols()[1:] }, "dg_abi_version has no binding"},
		"an invented function":  {func(fn *tableFuncs) []symbol { return append(fn.symbols(), symbol{"dg_extra", &short}) }, "dg_extra is not in the header"},
		"a function twice":      {func(fn *tableFuncs) []symbol { return append(fn.symbols(), fn.symbols()[0]) }, "dg_abi_version is bound twice"},
		"a shared variable":     {func(fn *tableFuncs) []symbol { return replace("dg_vae_encode", &fn.vaeDecode)(fn) }, "share a variable"},
		"a wrong width":         {replace("dg_model_set_cancel", &narrow), "dg_model_set_cancel: argument 1 is int64 in Go, int32_t in C"},
		"a missing argument":    {replace("dg_device_count", &short), "dg_device_count takes 2 arguments in Go, 3 in C"},
		"a value for a pointer": {replace("dg_get_device", &value), "dg_get_device: argument 1"},
	} {
		t.Run(what, func(t *testing.T) {
			var fn tableFuncs
			require.Contains(t, strings.Join(auditTable(defect.mutate(&fn), functions), "\n"), defect.finds)
		})
	}
}

// TestPrototypesStandAboveTheirVariables compares the comment above every function variable with the
// header, so that neither can be edited alone.
func TestPrototypesStandAboveTheirVariables(t *testing.T) {
	want := map[string]bool{}
	for _, f := range readHeader(t).functions {
		want[f.prototype] = true
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	got := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
		require.NoError(t, err)
		for comment := range prototypes(file) {
			got[comment] = true
		}
	}
	require.Equal(t, want, got)
}

// prototypes returns the comments above the fields of the structs whose names end in "Funcs".
func prototypes(file *ast.File) map[string]bool {
	found := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !strings.HasSuffix(spec.Name.Name, "Funcs") {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			found[strings.Join(strings.Fields(field.Doc.Text()), " ")] = true
		}
		return false
	})
	return found
}
