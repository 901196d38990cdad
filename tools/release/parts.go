package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// part is a work that an archive contains.
type part struct {
	name, version string
	purl          string   // the package's address: pkg:golang/...
	licences      []string // SPDX names
	texts         []string // the files of its licence
	file          string   // what the licence is called in the archive, without .LICENSE; "" if tools/install.sh puts it there
}

// allowed are the licences that a part may have: each permits what we do, with its text added.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LLVM-exception", "MIT", "ZPL-2.1"}

// parts returns all that the program and the libraries contain, the Go modules as the program itself lists them.
func (p plan) parts() ([]part, error) {
	info, err := buildinfo.ReadFile(p.program)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, m := range info.Deps {
		if m.Replace != nil {
			return nil, fmt.Errorf("%s is replaced by %s: no release is made of that", m.Path, m.Replace.Path)
		}
		dir, err := moduleDir(m.Path, m.Version)
		if err != nil {
			return nil, err
		}
		texts, err := licenceFiles(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		parts = append(parts, part{name: m.Path, version: m.Version, purl: "pkg:golang/" + m.Path + "@" + m.Version, texts: texts,
			file: strings.ReplaceAll(m.Path, "/", "-")})
	}
	root, err := tool.Output(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return nil, err
	}
	parts = append(parts, part{name: "go", version: strings.TrimPrefix(info.GoVersion, "go"), purl: "pkg:golang/std@" +
		strings.TrimPrefix(info.GoVersion, "go"), texts: []string{filepath.Join(strings.TrimSpace(string(root)), "LICENSE")}, file: "go"})
	engine, err := p.engineParts()
	if err != nil {
		return nil, err
	}
	parts = append(append(parts, engine...), p.compilerParts()...)
	for i := range parts {
		if err := parts[i].findLicences(); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// moduleDir is the folder of a module's sources.
func moduleDir(path, version string) (string, error) {
	out, err := tool.Output(exec.Command("go", "mod", "download", "-json", path+"@"+version))
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", err
	}
	return m.Dir, nil
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)(\.(txt|md))?$`)

// licenceFiles returns the files of a module's licence.
func licenceFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && licenceName.MatchString(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no licence", dir)
	}
	return files, nil
}

// engineParts are the pinned crates that libdaguerre is compiled of. tools/install.sh puts their licences.
func (p plan) engineParts() ([]part, error) {
	lock, err := os.ReadFile("third_party/engine/Cargo.lock")
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, pin := range []struct{ crate, licence string }{
		{"llama-cpp-sys-2", "llama.cpp/LICENSE"},
		{"diffusion-rs-sys", "stable-diffusion.cpp/LICENSE"},
	} {
		m := regexp.MustCompile(`name = "` + pin.crate + `"\nversion = "([^"]+)"`).FindSubmatch(lock)
		if m == nil {
			return nil, fmt.Errorf("the lock file Cargo.lock has no %s", pin.crate)
		}
		version := string(m[1])
		parts = append(parts, part{name: pin.crate, version: version, purl: "pkg:cargo/" + pin.crate + "@" + version,
			texts: []string{filepath.Join(p.engine, pin.crate, pin.licence)}})
	}
	return parts, nil
}

// compilerParts are the runtime libraries that zig links into libdaguerre.
func (p plan) compilerParts() []part {
	if p.zig == "" {
		return nil
	}
	homes, _ := filepath.Glob(filepath.Join(p.zig, "lib", "python3*", "site-packages", "ziglang"))
	home := ""
	if len(homes) > 0 {
		home = homes[0]
	}
	version := strings.TrimPrefix(filepath.Base(p.zig), "zig-")
	parts := []part{{name: "compiler-rt", texts: []string{filepath.Join(home, "LICENSE")}, file: "zig"}}
	for name, text := range map[string]string{"libcxx": "libcxx/LICENSE.TXT", "libcxxabi": "libcxxabi/LICENSE.TXT",
		"libunwind": "libunwind/LICENSE.TXT"} {
		// Their files also hold the older licences, NCSA and MIT, of what was written before 2019.
		parts = append(parts, part{name: name, licences: []string{"Apache-2.0", "LLVM-exception"}, file: name,
			texts: []string{filepath.Join(home, "lib", text)}})
	}
	if strings.HasPrefix(p.target, "windows-") {
		parts = append(parts, part{name: "mingw-w64", licences: []string{"ZPL-2.1"}, file: "mingw-w64",
			texts: []string{filepath.Join(home, "lib", "libc", "mingw", "COPYING")}})
	}
	for i := range parts {
		parts[i].version = version
		parts[i].purl = "pkg:pypi/ziglang@" + version + "#" + parts[i].name
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts
}

// findLicences reads the texts and finds the SPDX names of the licences in them. A licence that is not allowed is an error.
func (p *part) findLicences() error {
	known := len(p.licences) > 0
	for _, path := range p.texts {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("the licence of %s: %w", p.name, err)
		}
		for _, m := range licensecheck.Scan(text).Match {
			if !known && !m.IsURL && !slices.Contains(p.licences, m.ID) {
				p.licences = append(p.licences, m.ID)
			}
		}
	}
	if len(p.licences) == 0 {
		return fmt.Errorf("the licence of %s is none that is known: %s", p.name, strings.Join(p.texts, ", "))
	}
	var errs []error
	for _, id := range p.licences {
		if !slices.Contains(allowed, id) {
			errs = append(errs, fmt.Errorf("%s has the licence %s, which nobody has looked at yet", p.name, id))
		}
	}
	slices.Sort(p.licences)
	return errors.Join(errs...)
}

// copyLicences puts the texts into a folder, as one file.
func (p part) copyLicences(folder string) error {
	if p.file == "" {
		return nil
	}
	var all []byte
	for _, path := range p.texts {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all = append(all, text...)
	}
	return write(filepath.Join(folder, p.file+".LICENSE"), all)
}
