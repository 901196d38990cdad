package bindings

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings/bindingstest"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// mirrors pairs every struct of daguerre.h with its Go mirror.
var mirrors = map[string]reflect.Type{
	"dg_build_info":         reflect.TypeFor[BuildInfo](),
	"dg_device_info":        reflect.TypeFor[deviceInfo](),
	"dg_model_config":       reflect.TypeFor[ModelConfig](),
	"dg_model_file":         reflect.TypeFor[modelFile](),
	"dg_weight":             reflect.TypeFor[weight](),
	"dg_model_params":       reflect.TypeFor[modelParams](),
	"dg_component_info":     reflect.TypeFor[ComponentInfo](),
	"dg_text_info":          reflect.TypeFor[TextInfo](),
	"dg_unet_info":          reflect.TypeFor[UNetInfo](),
	"dg_vae_info":           reflect.TypeFor[VAEInfo](),
	"dg_model_info":         reflect.TypeFor[ModelInfo](),
	"dg_text_input":         reflect.TypeFor[TextInput](),
	"dg_unet_input":         reflect.TypeFor[UNetInput](),
	"dg_unet_change":        reflect.TypeFor[UNetChange](),
	"dg_text_regions":       reflect.TypeFor[TextRegions](),
	"dg_control_input":      reflect.TypeFor[ControlInput](),
	"dg_control_info":       reflect.TypeFor[ControlInfo](),
	"dg_upscaler_info":      reflect.TypeFor[UpscalerInfo](),
	"dg_detector_info":      reflect.TypeFor[detectorInfo](),
	"dg_image_encoder_info": reflect.TypeFor[imageEncoderInfo](),
	"dg_ip_adapter_info":    reflect.TypeFor[ipAdapterInfo](),
	"dg_ip_adapter_input":   reflect.TypeFor[IPAdapterInput](),
	"dg_image_prompt":       reflect.TypeFor[ImagePrompt](),
	"dg_compute_query":      reflect.TypeFor[ComputeQuery](),
	"dg_profile_entry":      reflect.TypeFor[profileEntry](),
	"dg_module_info":        reflect.TypeFor[moduleInfo](),
	"dg_lora_tensor":        reflect.TypeFor[LoRATensor](),
	"dg_lora_target":        reflect.TypeFor[LoRATarget](),
	"dg_lora_shape":         reflect.TypeFor[LoRAShape](),
	"dg_lora_use":           reflect.TypeFor[loraUse](),
	"dg_vae_part_info":      reflect.TypeFor[VAEPartInfo](),
	"dg_vae_part":           reflect.TypeFor[VAEPart](),
	"dg_memory_info":        reflect.TypeFor[memoryInfo](),
	"dg_node_info":          reflect.TypeFor[nodeInfo](),
	"dg_transfer_info":      reflect.TypeFor[transferInfo](),
	"dg_trial":              reflect.TypeFor[Trial](),
}

// constants pairs every enum value and numeric #define of daguerre.h with its value in Go.
var constants = func() map[string]int64 {
	all := map[string]int64{
		"DG_ABI_VERSION": abiVersion, "DG_MAX_LEVELS": MaxLevels, "DG_NAME_LEN": nameLen, "DG_DESC_LEN": descLen,
		"DG_MAX_FILES": maxFiles, "DG_COMPONENT_COUNT": ComponentCount, "DG_TYPE_COUNT": int64(len(Types)),

		"DG_OK": 0, "DG_ERR_ARGUMENT": int64(ErrArgument), "DG_ERR_FILE": int64(ErrFile), "DG_ERR_FORMAT": int64(ErrFormat),
		"DG_ERR_MODEL": int64(ErrModel), "DG_ERR_OUT_OF_MEMORY": int64(ErrOutOfMemory), "DG_ERR_DEVICE": int64(ErrDevice),
		"DG_ERR_CANCELLED": int64(ErrCancelled), "DG_ERR_UNSUPPORTED": int64(ErrUnsupported), "DG_ERR_ENGINE": int64(ErrEngine),

		// What callers pass as numbers: package backend's own are equal.
		"DG_WRAP_NONE": 0, "DG_WRAP_X": int64(backend.WrapX), "DG_WRAP_Y": int64(backend.WrapY),
		"DG_STAGE_TEXT": int64(backend.StageText), "DG_STAGE_TEXT_2": int64(backend.StageText2), "DG_STAGE_UNET": int64(backend.StageUNet),
		"DG_STAGE_VAE_ENCODE": int64(backend.StageVAEEncode), "DG_STAGE_VAE_DECODE": int64(backend.StageVAEDecode),
		"DG_STAGE_CONTROL": int64(backend.StageControl), "DG_STAGE_CONTROL_HINT": int64(backend.StageControlHint),
		"DG_STAGE_UPSCALE": int64(backend.StageUpscale), "DG_STAGE_DETECT": int64(backend.StageDetect),
		"DG_STAGE_FEATURES":     int64(backend.StageFeatures),
		"DG_STAGE_IMAGE_ENCODE": int64(backend.StageImageEncode), "DG_STAGE_IP_ADAPTER": int64(backend.StageIPAdapter),
		"DG_STAGE_VAE_DECODE_MIDDLE": int64(backend.StageVAEDecodeMiddle), "DG_STAGE_VAE_DECODE_LEVELS": int64(backend.StageVAEDecodeLevels),
		"DG_STAGE_VAE_ENCODE_LEVELS": int64(backend.StageVAEEncodeLevels), "DG_STAGE_VAE_ENCODE_MIDDLE": int64(backend.StageVAEEncodeMiddle),
	}
	for prefix, names := range map[string][]string{"TYPE": Types, "PRECISION": Precisions, "KIND": Kinds, "DEVICE": DeviceKinds,
		"LOG": LogLevels, "RESIDENT": Residencies, "FLASH": Flashes, "CONV": Convs, "TRIAL": TrialKinds, "MODULE": ModuleKinds, "LORA": LoRAForms,
		"RESIDUALS": ResidualPlaces, "KEEP": Keeps, "FEATURES": FeatureUses} {
		for i, name := range names {
			all[constant(prefix, name)] = int64(i)
		}
	}
	for i, name := range Components {
		all[constant("COMPONENT", name)] = 1 << i
	}
	for name, value := range StoredTypes {
		all[constant("STORED", name)] = int64(value)
	}
	return all
}()

// constant is the name of an enum's value in the header.
func constant(prefix, name string) string {
	full := "DG_" + prefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if full == "DG_RESIDENT_RESIDENT" {
		return "DG_RESIDENT_ALWAYS"
	}
	return strings.Replace(full, "TEXT_ENCODER2", "TEXT_ENCODER_2", 1)
}

// truth is what the C compiler says of the header.
type truth struct {
	sizes     map[string]int64 // of structs
	fields    map[string][]cField
	constants map[string]int64
}

type cField struct {
	name               string
	offset, size, unit int64  // unit: size of an array's element, or of the field
	kind               string // of the element: "i32", "i64", "usize", "char", "f64", "other" (structs and pointers)
}

// askCompiler writes a C program from what the header declares, runs it and reads its answers.
func askCompiler(t *testing.T, h header) truth {
	t.Helper()
	var c strings.Builder
	c.WriteString(`#include <stdio.h>
#include "daguerre.h"
#define KIND(x) _Generic((x), int32_t: "i32", int64_t: "i64", size_t: "usize", char: "char", double: "f64", \
    dg_model*: "usize", const dg_lora*: "usize", dg_features*: "usize", const dg_residuals*: "usize", dg_residuals*: "usize", \
    default: "other") /* a handle is a number in Go */
#define FIELD(T, f, unit) printf("field " #T " " #f " %zu %zu %zu %s\n", offsetof(T, f), sizeof(((T*)0)->f), \
    sizeof(unit), KIND(unit))
int main(void) {
`)
	for _, s := range h.structs {
		fmt.Fprintf(&c, "    { static %s v; (void)v; printf(\"struct %s %%zu\\n\", sizeof(v));\n", s.name, s.name)
		for _, f := range s.fields {
			fmt.Fprintf(&c, "    FIELD(%s, %s, v.%s%s);\n", s.name, f, f, map[bool]string{true: "[0]"}[isArray(s.name, f)])
		}
		c.WriteString("    }\n")
	}
	for _, name := range h.constants {
		fmt.Fprintf(&c, "    printf(\"const %s %%lld\\n\", (long long)%s);\n", name, name)
	}
	c.WriteString("    return 0;\n}\n")
	// tools/test-wine.sh compiles the program for Windows, and gives the answers to these tests there, where no compiler is.
	if source := os.Getenv("DAGUERRE_TEST_LAYOUT_SOURCE"); source != "" {
		require.NoError(t, os.WriteFile(source, []byte(c.String()), 0o600))
	}
	if answers := os.Getenv("DAGUERRE_TEST_LAYOUT"); answers != "" {
		out, err := os.ReadFile(answers)
		require.NoError(t, err)
		return readTruth(t, out)
	}
	program := filepath.Join(t.TempDir(), "layout")
	bindingstest.Compile(t, program, c.String())
	out, err := exec.Command(program).Output()
	require.NoError(t, err)
	return readTruth(t, out)
}

// isArray says how the C program must write a field's element. It follows the mirror; if that is
// wrong, C does not compile or the sizes differ.
func isArray(structName, field string) bool {
	mirror, ok := mirrors[structName]
	if !ok {
		return false
	}
	for i := range mirror.NumField() {
		if sameName(mirror.Field(i).Name, field) {
			return mirror.Field(i).Type.Kind() == reflect.Array
		}
	}
	return false
}

func readTruth(t *testing.T, out []byte) truth {
	t.Helper()
	answers := truth{map[string]int64{}, map[string][]cField{}, map[string]int64{}}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var what, name string
		var value int64
		var f cField
		line := lines.Text()
		_, err := fmt.Sscan(line, &what, &name)
		require.NoError(t, err)
		switch what {
		case "struct":
			_, err = fmt.Sscan(line, &what, &name, &value)
			answers.sizes[name] = value
		case "const":
			_, err = fmt.Sscan(line, &what, &name, &value)
			answers.constants[name] = value
		case "field":
			_, err = fmt.Sscan(line, &what, &name, &f.name, &f.offset, &f.size, &f.unit, &f.kind)
			answers.fields[name] = append(answers.fields[name], f)
		}
		require.NoError(t, err, line)
	}
	return answers
}

// sameName compares a Go name with a C name: UNetNormNumGroups is unet_norm_num_groups.
func sameName(goName, cName string) bool {
	return strings.EqualFold(goName, strings.ReplaceAll(cName, "_", ""))
}

// auditLayout returns every difference between the Go mirrors and the C compiler's answers.
func auditLayout(mirrors map[string]reflect.Type, want truth) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for name := range mirrors {
		if _, ok := want.sizes[name]; !ok {
			fault("%s is mirrored, but not in the header", name)
		}
	}
	for name, size := range want.sizes {
		mirror, ok := mirrors[name]
		if !ok {
			fault("%s has no mirror", name)
			continue
		}
		if int64(mirror.Size()) != size {
			fault("%s has %d bytes in Go, %d in C", name, mirror.Size(), size)
		}
		fields := want.fields[name]
		if mirror.NumField() != len(fields) {
			fault("%s has %d fields in Go, %d in C", name, mirror.NumField(), len(fields))
		}
		for i := range min(mirror.NumField(), len(fields)) {
			for _, text := range auditField(mirror.Field(i), fields[i]) {
				fault("%s.%s: %s", name, fields[i].name, text)
			}
		}
	}
	return faults
}

func auditField(got reflect.StructField, want cField) []string {
	var faults []string
	if !sameName(got.Name, want.name) {
		faults = append(faults, "is called "+got.Name+" in Go")
	}
	if int64(got.Offset) != want.offset {
		faults = append(faults, fmt.Sprintf("is at offset %d in Go, %d in C", got.Offset, want.offset))
	}
	if int64(got.Type.Size()) != want.size {
		faults = append(faults, fmt.Sprintf("has %d bytes in Go, %d in C", got.Type.Size(), want.size))
	}
	element := got.Type
	if element.Kind() == reflect.Array {
		element = element.Elem()
	}
	if int64(element.Size()) != want.unit {
		faults = append(faults, fmt.Sprintf("has elements of %d bytes in Go, %d in C", element.Size(), want.unit))
	}
	kinds := map[reflect.Kind]string{reflect.Int32: "i32", reflect.Int64: "i64", reflect.Uintptr: "usize",
		reflect.Uint8: "char", reflect.Float64: "f64", reflect.Pointer: "other", reflect.Struct: "other"}
	if kinds[element.Kind()] != want.kind {
		faults = append(faults, fmt.Sprintf("is %s in Go, %s in C", element.Kind(), want.kind))
	}
	return faults
}

// auditConstants returns every difference between the Go constants and the C compiler's answers.
func auditConstants(got map[string]int64, want truth) []string {
	var faults []string
	for name, value := range want.constants {
		if have, ok := got[name]; !ok {
			faults = append(faults, name+" has no Go constant")
		} else if have != value {
			faults = append(faults, fmt.Sprintf("%s is %d in Go, %d in C", name, have, value))
		}
	}
	for name := range got {
		if _, ok := want.constants[name]; !ok {
			faults = append(faults, name+" is not in the header")
		}
	}
	return faults
}

func TestLayoutAgreesWithTheHeader(t *testing.T) {
	want := askCompiler(t, readHeader(t))
	require.Empty(t, auditLayout(mirrors, want))
	require.Empty(t, auditConstants(constants, want))
	require.Len(t, want.sizes, len(mirrors))
}

// TestLayoutAuditFindsPlantedDefects proves that the audit above can fail: each defect is one that a
// careless edit of types.go or enums.go could make.
func TestLayoutAuditFindsPlantedDefects(t *testing.T) {
	want := askCompiler(t, readHeader(t))
	fields := func(name string) []reflect.StructField {
		return reflect.VisibleFields(mirrors[name])
	}
	retype := func(name, field string, to reflect.Type) reflect.Type {
		list := fields(name)
		for i := range list {
			if list[i].Name == field {
				list[i].Type = to
				return structOf(list)
			}
		}
		t.Fatalf("%s has no field %s", name, field)
		return nil
	}
	swap := func(name string, i, j int) reflect.Type {
		list := fields(name)
		list[i], list[j] = list[j], list[i]
		return structOf(list)
	}
	drop := func(name string, i int) reflect.Type {
		list := fields(name)
		return structOf(append(list[:i:i], list[i+1:]...))
	}
	defects := []struct {
		what, name string
		mutant     reflect.Type
		finds      string
	}{
		{"two fields of equal width swapped", "dg_unet_input", swap("dg_unet_input", 2, 3), "dg_unet_input.height: is called Width"},
		{"two fields of different width swapped", "dg_device_info", swap("dg_device_info", 3, 5), "dg_device_info.kind"},
		{"int64 for int32", "dg_build_info", retype("dg_build_info", "CPUSupported", reflect.TypeFor[int64]()),
			"dg_build_info.cpu_supported: has 8 bytes"},
		{"int32 for int64", "dg_text_info", retype("dg_text_info", "MaxTokens", reflect.TypeFor[int32]()),
			"dg_text_info.max_tokens: has 4 bytes"},
		{"unsigned for signed", "dg_compute_query", retype("dg_compute_query", "Texts", reflect.TypeFor[uint32]()), "is uint32 in Go, i32 in C"},
		{"float for integer", "dg_vae_info", retype("dg_vae_info", "Downscale", reflect.TypeFor[float64]()), "is float64 in Go, i64 in C"},
		{"a shorter array", "dg_unet_info", retype("dg_unet_info", "Channels", reflect.TypeFor[[7]int64]()),
			"dg_unet_info.channels: has 56 bytes"},
		{"an array of another width", "dg_unet_info", retype("dg_unet_info", "Channels", reflect.TypeFor[[16]int32]()),
			"has elements of 4 bytes"},
		{"a name for a description", "dg_device_info", retype("dg_device_info", "Description", reflect.TypeFor[Name]()),
			"dg_device_info.description"},
		{"a pointer for a struct", "dg_model_info", retype("dg_model_info", "VAE", reflect.TypeFor[*VAEInfo]()), "dg_model_info.vae"},
		{"a field missing at the end", "dg_model_params", drop("dg_model_params", mirrors["dg_model_params"].NumField()-1), "fields in Go"},
		{"a field missing inside", "dg_model_config", drop("dg_model_config", 2), "fields in Go"},
		{"struct_size missing", "dg_component_info", drop("dg_component_info", 0), "dg_component_info.struct_size"},
		{"a mirror missing", "dg_text_input", nil, "dg_text_input has no mirror"},
		{"a mirror too many", "dg_invented", reflect.TypeFor[VAEInfo](), "dg_invented is mirrored, but not in the header"},
	}
	for _, d := range defects {
		t.Run(d.what, func(t *testing.T) {
			mutated := map[string]reflect.Type{}
			for name, mirror := range mirrors {
				mutated[name] = mirror
			}
			if d.mutant == nil {
				delete(mutated, d.name)
			} else {
				mutated[d.name] = d.mutant
			}
			require.Contains(t, strings.Join(auditLayout(mutated, want), "\n"), d.finds)
		})
	}
	for what, edit := range map[string]func(map[string]int64){
		"a wrong value":      func(c map[string]int64) { c["DG_TYPE_Q4_K"]++ },
		"two values swapped": func(c map[string]int64) { c["DG_FLASH_ON"], c["DG_FLASH_OFF"] = 1, 2 },
		"a missing value":    func(c map[string]int64) { delete(c, "DG_ERR_DEVICE") },
		"an invented value":  func(c map[string]int64) { c["DG_ERR_WEATHER"] = 10 },
	} {
		t.Run(what, func(t *testing.T) {
			mutated := map[string]int64{}
			for name, value := range constants {
				mutated[name] = value
			}
			edit(mutated)
			require.NotEmpty(t, auditConstants(mutated, want))
		})
	}
}

// structOf builds a struct type from edited fields. Offsets are computed anew.
func structOf(fields []reflect.StructField) reflect.Type {
	fresh := make([]reflect.StructField, len(fields))
	for i, f := range fields {
		fresh[i] = reflect.StructField{Name: f.Name, Type: f.Type}
	}
	return reflect.StructOf(fresh)
}

// TestReadySetsSizes checks every struct_size inside every struct.
func TestReadySetsSizes(t *testing.T) {
	for _, mirror := range mirrors {
		v := reflect.New(mirror).Elem()
		prepare(nil, v)
		checkSizes(t, v)
	}
}

func checkSizes(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		require.Equal(t, uint64(v.Type().Size()), v.FieldByName("StructSize").Uint(), v.Type().String())
		for i := range v.NumField() {
			checkSizes(t, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			checkSizes(t, v.Index(i))
		}
	}
}
