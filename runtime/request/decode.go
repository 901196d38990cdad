package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
)

// MaxFileBytes is the largest run file that is read: far above any real one, far below what would
// fill memory.
const MaxFileBytes = 8 << 20

// ReadFile reads a run file, JSON if its name ends in .json and TOML otherwise. Errors name the file;
// those of its contents are Errors, and the Run has what could be read then. Paths in it are relative to the working directory, as on the
// command line.
func ReadFile(path string) (Run, error) { return ReadFileOver(Defaults{Job: Default()}, path) }

// Defaults are what the keys mean that a run file does not have.
type Defaults struct {
	Model Model
	Job   Request

	// Take takes a key at the top level that is the caller's own, and reports whether it is. nil: there are none.
	Take func(key string, value any) bool
}

// ReadDefaults reads a file of defaults: a run file of a model and keys of a job, without [[job]] tables. Its values are checked by
// themselves; what has to go together with other keys is checked in the run that they are used for.
func ReadDefaults(path string) (Defaults, error) {
	run, err := ReadFile(path)
	var errs Errors
	if err != nil && !errors.As(err, &errs) {
		return Defaults{}, err
	}
	if run.given != nil {
		errs.Add("job", "a file of defaults has no [[job]] tables; write their keys at the top")
	} else if len(run.Jobs) > 0 {
		run.faulty = true // so that nothing is missing
		var more Errors
		errors.As(run.Validate(), &more) // there is no other
		for _, e := range more {
			errs.add(e)
		}
	}
	if len(errs) > 0 {
		return Defaults{}, errs
	}
	return Defaults{Model: run.Model, Job: run.Jobs[0]}, nil
}

// ReadFileOver is ReadFile with other defaults. A key of the file replaces the default's, key by key within tables; a list replaces the
// whole list.
func ReadFileOver(d Defaults, path string) (Run, error) {
	f, err := openRun(path)
	if err != nil {
		return Run{}, fmt.Errorf("run file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return Run{}, fmt.Errorf("run file %s: %w", path, err)
	}
	run, err := d.DecodeTOML(data)
	if strings.EqualFold(filepath.Ext(path), ".json") {
		run, err = d.DecodeJSON(data)
	}
	if err != nil {
		return run, fmt.Errorf("run file %s: %w", path, err)
	}
	return run, nil
}

// openRun opens a run file. A file that the process has open already may be a pipe; shells make one of <(...).
func openRun(path string) (*os.File, error) {
	if path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") {
		return os.Open(path)
	}
	f, _, err := regular.Open(path)
	return f, err
}

// DecodeTOML decodes a run file in TOML: top-level defaults, a [model] table (or model = "path") and
// [[job]] tables; without a [[job]] the top level is the one job. Unknown keys and wrong types are errors, all
// of them reported; values are not checked until Run.Validate.
func DecodeTOML(data []byte) (Run, error) { return Defaults{Job: Default()}.DecodeTOML(data) }

// DecodeTOML is the function DecodeTOML with other defaults.
func (def Defaults) DecodeTOML(data []byte) (Run, error) {
	if err := checkSize(data); err != nil {
		return Run{}, err
	}
	data = words.WithoutBOM(data)
	var table map[string]any
	if err := toml.Unmarshal(data, &table); err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			message := "not TOML: " + parse.Message
			if parse.LastKey != "" {
				message += ", after the key " + parse.LastKey
			}
			if strings.Contains(parse.Message, "escape") || strings.Contains(parse.Message, "hexadecimal") { // a path of Windows: "C:\models"
				message += `; write paths with / or in single quotes: 'C:\models\x.safetensors'`
			}
			message += tomlHint(data, parse.Position.Line)
			return Run{}, Errors{{Path: fmt.Sprintf("line %d", parse.Position.Line), Message: message}}
		}
		return Run{}, Errors{{Message: "not TOML: " + err.Error()}}
	}
	return def.decode(table)
}

// DecodeJSON decodes a run file in JSON, of the same shape as the TOML one.
func DecodeJSON(data []byte) (Run, error) { return Defaults{Job: Default()}.DecodeJSON(data) }

// DecodeJSON is the function DecodeJSON with other defaults.
func (def Defaults) DecodeJSON(data []byte) (Run, error) {
	if err := checkSize(data); err != nil {
		return Run{}, err
	}
	data = words.WithoutBOM(data)
	text := json.NewDecoder(bytes.NewReader(data))
	text.UseNumber()
	var table map[string]any
	if err := text.Decode(&table); err != nil {
		return Run{}, Errors{{Path: fmt.Sprintf("byte %d", text.InputOffset()), Message: "not a JSON object: " + err.Error()}}
	}
	if _, err := text.Token(); err != io.EOF {
		return Run{}, Errors{{Path: fmt.Sprintf("byte %d", text.InputOffset()),
			Message: "something follows the JSON object; a run file is one object"}}
	}
	if path, first, twice := words.KeyTwice(data, separators); twice {
		return Run{}, Errors{{Path: path, Message: "is given twice, also as " + first}}
	}
	return def.decode(table)
}

func checkSize(data []byte) error {
	if len(data) > MaxFileBytes {
		return Errors{{Message: fmt.Sprintf("a run file has at most %d MiB; this one is larger", MaxFileBytes>>20)}}
	}
	return nil
}

// Decode makes a Run of a table that a TOML or JSON library has decoded, the latter with json.Number for numbers. Keys
// may be in any of Casings and be called as diffusers or AUTOMATIC1111 call them (see Names). Errors are Errors, and their paths are
// spelled as in the table. The Run has what could be read, and its Validate finds what else is wrong.
func Decode(table map[string]any) (Run, error) { return Defaults{Job: Default()}.decode(table) }

func (def Defaults) decode(table map[string]any) (Run, error) {
	d := &decoder{casing: SnakeCase, modelAt: place{"model", "model"}}
	run := Run{Model: def.Model}
	if c, ok := DetectCasing(table); ok {
		run.Casing, d.casing = c, c
	}
	top := map[string]any{}
	var jobs []map[string]any
	var jobsKey string
	model := map[string]any{}
	seen := map[string]string{}
	for _, key := range sortedKeys(table) {
		if first, twice := seen[fold(key)]; twice && (fold(key) == "model" || fold(key) == "jobs") {
			d.errs.Add(key, "is given twice, also as %s", first)
		}
		seen[fold(key)] = key
		switch fold(key) {
		case "model":
			model = d.modelTable(key, table[key])
		case "job", "jobs":
			jobsKey = key
			jobs = append(jobs, d.tables(key, table[key])...)
		default:
			if def.Take == nil || !def.Take(key, table[key]) {
				top[key] = table[key]
			}
		}
	}
	for _, t := range append([]map[string]any{top}, jobs...) {
		f := foreign{table: t, keys: foldedKeys(t)}
		d.pictured = d.pictured || f.hasPicture()
		d.masked = d.masked || f.get("mask") != nil || f.get("maskimage") != nil
	}
	defaults, topIsWebUI := def.Job, fromWebUI(top)
	d.webUI = topIsWebUI
	d.structure(&defaults, d.adopt(top, "", model), place{})
	for i, job := range jobs {
		r, at := defaults, place{fmt.Sprintf("jobs[%d]", i), fmt.Sprintf("jobs[%d]", i)}
		if fold(jobsKey) == "jobs" {
			at.written = fmt.Sprintf("%s[%d]", jobsKey, i)
		}
		d.webUI = topIsWebUI || fromWebUI(job)
		given := d.structure(&r, d.adopt(job, at.written, model), at)
		run.Jobs, run.given = append(run.Jobs, r), append(run.given, given)
	}
	if len(jobs) == 0 {
		run.Jobs = []Request{defaults}
	}
	d.structure(&run.Model, d.rename(tableNames[reflect.TypeFor[Model]()], model, d.modelAt.written), d.modelAt)
	run.spelled, run.Notes, run.faulty = d.spelled, d.notes, len(d.errs) > 0
	return run, d.errs.Err()
}

// bareText is a line whose value is a text without quotes; yamlLine is how YAML writes a key.
var (
	bareText = regexp.MustCompile(`^\s*([A-Za-z_][\w.-]*)\s*=\s*([^\s"'\[{#0-9+-].*?)\s*$`)
	yamlLine = regexp.MustCompile(`^\s*(?:- )?([A-Za-z_][\w.-]*):(?:\s+(\S.*?))?\s*$`)
)

// tomlHint says how a line of TOML should be written, where that can be told.
func tomlHint(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	if m := bareText.FindStringSubmatch(lines[line-1]); m != nil && !slices.Contains([]string{"true", "false", "inf", "nan"}, m[2]) {
		return fmt.Sprintf("; write texts in quotes: %s = %q", m[1], words.Clip(m[2]))
	}
	if m := yamlLine.FindStringSubmatch(lines[line-1]); m != nil {
		return fmt.Sprintf("; this is YAML, and a run file is TOML: %s = ...", m[1])
	}
	return ""
}
