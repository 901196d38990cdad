package manual

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

// Shells are the shells that completions are made for.
var Shells = []string{"bash", "zsh", "fish", "powershell"}

//go:embed completion.*.tmpl
var scripts embed.FS

// Completion is the script that completes the commands of root in a shell, one of Shells.
func Completion(root *Command, shell string) (string, error) {
	t := template.New("completion." + shell + ".tmpl").Funcs(template.FuncMap{
		"all":         root.all,
		"single":      single,
		"doubled":     doubled,
		"names":       commandNames,
		"plain":       func(c *Command) []string { return namesOf(c, false) },
		"valued":      func(c *Command) []string { return namesOf(c, true) },
		"join":        func(list []string) string { return strings.Join(list, " ") },
		"alternative": func(list []string) string { return strings.Join(list, "|") },
		"chosen":      func() []Flag { return chosen(root) },
		"colons":      func(s string) string { return strings.ReplaceAll(s, ":", `\:`) },
		"bare":        func(s string) string { return strings.TrimLeft(s, "-") },
		"fish":        fishQuoted,
		"under":       func(path, name string) string { return strings.TrimSpace(path + " " + name) },
	})
	if _, err := t.ParseFS(scripts, t.Name()); err != nil {
		return "", fmt.Errorf("manual: no completion for %s: %w", shell, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, root); err != nil {
		return "", err
	}
	return b.String(), nil
}

// single quotes a text for bash and zsh.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// doubled quotes a text for PowerShell, which doubles quotes within.
func doubled(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// fishQuoted quotes a text for fish, in which a backslash within quotes is one only before a quote or a backslash.
func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

func commandNames(c *Command) (names []string) {
	for _, sub := range c.Commands {
		names = append(names, sub.Name)
	}
	return names
}

// namesOf lists the flags of a command that take a value, or those that take none.
func namesOf(c *Command, valued bool) (names []string) {
	for _, f := range c.Flags {
		if f.Valued == valued {
			names = append(names, f.Names...)
		}
	}
	return names
}

// chosen lists the flags whose values are known words, each name once.
func chosen(root *Command) (list []Flag) {
	seen := map[string]bool{}
	for _, c := range root.all() {
		for _, f := range c.Flags {
			if len(f.Choices) > 0 && !seen[f.Names[0]] {
				seen[f.Names[0]] = true
				list = append(list, f)
			}
		}
	}
	return list
}
