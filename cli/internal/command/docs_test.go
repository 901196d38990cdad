package command

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/manual"
	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/request"
)

const docs = "../../../docs"

// updateEnv set to any value makes these tests rewrite the generated parts of the documentation.
const updateEnv = "DAGUERRE_UPDATE_DOCS"

// checkGenerated holds the part of a document between two markers against want.
func checkGenerated(t *testing.T, file, marker, want string) {
	t.Helper()
	path := filepath.Join(docs, file)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	begin, end := "<!-- "+marker+": begin -->\n", "<!-- "+marker+": end -->"
	head, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok, "%s has no %q", file, begin)
	have, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no %q", file, end)
	if os.Getenv(updateEnv) != "" {
		require.NoError(t, os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644))
		return
	}
	assert.Equal(t, want, have, "docs/%s is out of date; run %s=1 go test ./cli/internal/command", file, updateEnv)
}

// keyTable is the documentation of the keys of a table of run files.
func keyTable(table string) string {
	flags := map[string]string{}
	for _, s := range settings {
		n, _ := s.names()
		flags[s.key] = "`--" + n + "`"
	}
	var b strings.Builder
	b.WriteString("| key | type | default | meaning | flag |\n|---|---|---|---|---|\n")
	for _, k := range request.Keys() {
		if k.Table != table {
			continue
		}
		id := k.Name
		if table != "" {
			id = table + "." + id
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, cell(k.Type), cell(k.Default), cell(k.Doc), flags[id])
	}
	return b.String()
}

func TestConfigurationIsDocumented(t *testing.T) {
	checkGenerated(t, "configuration.md", "keys of a job", keyTable(""))
	tables := map[string]bool{}
	for _, k := range request.Keys() {
		if k.Table != "" && !tables[k.Table] {
			tables[k.Table] = true
			checkGenerated(t, "configuration.md", "keys of "+k.Table, keyTable(k.Table))
		}
	}
	assert.True(t, tables["hires"] && tables["outpaint"] && tables["model.memory"])
	data, err := os.ReadFile(filepath.Join(docs, "configuration.md"))
	require.NoError(t, err)
	for _, f := range output.Fields {
		assert.Contains(t, string(data), "`{"+f+"}`")
	}
}

// cell is a text within a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// flagTables is the documentation of all flags, command by command. What a command has in common with generate is only named.
func flagTables(t *testing.T) string {
	var b strings.Builder
	generate := map[string]bool{} // its flags, as they are shown
	var walk func(c *manual.Command)
	walk = func(c *manual.Command) {
		var own []manual.Flag
		var common []string
		for _, f := range c.Flags {
			switch {
			case f.Names[0] == "--help":
			case c.Path != "generate" && len(generate) > 0 && generate[f.Head+"\t"+f.Usage]:
				common = append(common, "`"+f.Names[0]+"`")
			default:
				own = append(own, f)
			}
			if c.Path == "generate" {
				generate[f.Head+"\t"+f.Usage] = true
			}
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s.\n", strings.TrimSpace("daguerre "+c.Path), c.Usage)
		if len(own)+len(common) > 0 {
			b.WriteString("\n| flag | meaning |\n|---|---|\n")
		}
		for _, f := range own {
			fmt.Fprintf(&b, "| `%s` | %s |\n", cell(f.Head), cell(f.Usage))
		}
		if len(common) > 0 {
			fmt.Fprintf(&b, "| as for `generate` | %s |\n", strings.Join(common, ", "))
		}
		for _, sub := range c.Commands {
			walk(sub)
		}
	}
	walk(manual.Of(newApp(Env{}), manual.Words{}))
	require.NotEmpty(t, generate)
	return b.String()
}

// TestFlagsAreDocumented: every flag of every command is in docs/flags.md, made of the commands themselves.
func TestFlagsAreDocumented(t *testing.T) {
	tables := flagTables(t)
	checkGenerated(t, "flags.md", "flags", tables)
	app := newApp(Env{})
	var all func(path string, commands []*cli.Command)
	all = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Hidden || c.Name == "help" {
				continue
			}
			_, section, ok := strings.Cut(tables, "### `"+path+" "+c.Name+"`\n")
			require.True(t, ok, "%s %s", path, c.Name)
			section, _, _ = strings.Cut(section, "\n### ")
			for _, f := range c.Flags {
				if f.Names()[0] != "help" {
					assert.Contains(t, section, "`--"+f.Names()[0], "%s %s", path, c.Name)
				}
			}
			all(path+" "+c.Name, c.Subcommands)
		}
	}
	all(app.Name, app.Commands)
}

// eventDocs describes the fields of the events.
var eventDocs = []struct {
	event   progress.Event
	meaning string
}{
	{progress.Start{}, "the command begins"},
	{progress.Model{}, "the model is open"},
	{progress.JobStart{}, "a job begins; every default is filled in and the seed drawn"},
	{progress.Step{}, "how far a job, or the writing of a large file, is"},
	{progress.Overall{}, "how far a run of several pictures is, over all jobs"},
	{progress.Batch{}, "pictures begin to be computed together; `why` tells how the batch came to its size"},
	{progress.Retry{}, "pictures go back into the queue, after running out of memory or another failure"},
	{progress.Resume{}, "the run continues an earlier one that was not finished"},
	{progress.Preview{}, "with `--preview`: how a picture stands was written; the file goes away when the job ends"},
	{progress.Image{}, "a picture is complete on disk"},
	{progress.Latents{}, "a job's latents are complete on disk"},
	{progress.File{}, "another file is complete on disk"},
	{progress.Result{}, "what a command that converts or measures found, as it asks for (`--report`)"},
	{progress.Note{}, "what a command found or chose, and why"},
	{progress.Warning{}, "something to know, although the work goes on"},
	{progress.Failed{}, "the command failed; always the last event"},
	{progress.Done{}, "the command succeeded; always the last event"},
}

func TestEventsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| event | means | fields |\n|---|---|---|\n")
	for _, d := range eventDocs {
		var fields []string
		e := reflect.TypeOf(d.event)
		for i := range e.NumField() {
			name, _, _ := strings.Cut(e.Field(i).Tag.Get("json"), ",")
			fields = append(fields, fmt.Sprintf("`%s` %s", name, jsonType(e.Field(i).Type)))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", progress.EventName(d.event), d.meaning, strings.Join(fields, ", "))
	}
	b.WriteString(`
Jobs and pictures count from 0. Times are in seconds; ` + "`eta_seconds` and `steps_per_second`" + ` are 0 while they are unknown.
In ` + "`progress`, `stage`" + ` is text, encode, denoise, upscale, decode or done. ` + "`done` and `total`" + ` count denoising steps of all pictures of the
job, so their ratio never falls. For ` + "`models synth`" + ` and ` + "`models convert`" + ` the stage is write or verify, for ` + "`install`" + ` it is
download or unpack, and they count bytes.
`)
	checkGenerated(t, "cli.md", "events", b.String())
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	}
	return "integer"
}

// TestCommandsAreDocumented holds docs/cli.md against the program.
func TestCommandsAreDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(docs, "cli.md"))
	require.NoError(t, err)
	app := newApp(Env{})
	for _, c := range app.Commands {
		if len(c.Subcommands) == 0 {
			assert.Contains(t, string(data), "`"+c.Name)
		}
		for _, s := range c.Subcommands {
			if !s.Hidden {
				assert.Contains(t, string(data), "`"+c.Name+" "+s.Name)
			}
		}
	}
	for line := range strings.Lines(exitCodesHelp) {
		if code, meaning, ok := strings.Cut(strings.TrimSpace(line), " "); ok && code[0] >= '0' && code[0] <= '9' {
			assert.Contains(t, string(data), "| "+code+" | "+strings.TrimSpace(meaning)+" |")
		}
	}
}

// TestExampleRunFiles makes sure that the examples, and those within the documentation, are valid.
func TestExampleRunFiles(t *testing.T) {
	paths, err := filepath.Glob("../../../examples/toml/*.toml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		run, err := request.ReadFile(path)
		require.NoError(t, err, path)
		require.NoError(t, generateOptions{run: run}.check(nil), path)
	}
	for _, file := range []string{"configuration.md", "../README.md"} {
		data, err := os.ReadFile(filepath.Join(docs, file))
		require.NoError(t, err)
		blocks := strings.Split(string(data), "```toml\n")[1:]
		require.NotEmpty(t, blocks, file)
		for i, block := range blocks {
			text, _, _ := strings.Cut(block, "```")
			_, err := request.DecodeTOML([]byte(text))
			require.NoError(t, err, "block %d of %s", i, file)
		}
	}
}
