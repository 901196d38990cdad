package main

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// The parts of CycloneDX 1.6 that a list of works needs.
type (
	bomFile struct {
		Format     string         `json:"bomFormat"`
		Spec       string         `json:"specVersion"`
		Version    int            `json:"version"`
		Metadata   bomMetadata    `json:"metadata"`
		Components []bomComponent `json:"components"`
	}
	bomMetadata struct {
		Timestamp string       `json:"timestamp"`
		Component bomComponent `json:"component"`
	}
	bomComponent struct {
		Type     string       `json:"type"`
		Ref      string       `json:"bom-ref,omitempty"`
		Name     string       `json:"name"`
		Version  string       `json:"version,omitempty"`
		PURL     string       `json:"purl,omitempty"`
		Hashes   []bomHash    `json:"hashes,omitempty"`
		Licences []bomLicence `json:"licenses,omitempty"`
	}
	bomHash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	bomLicence struct {
		Licence bomLicenceID `json:"license"`
	}
	bomLicenceID struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
)

// bom lists the program, the libraries with their sums, and all that they contain, as CycloneDX JSON.
func (p plan) bom(parts []part) ([]byte, error) {
	file := bomFile{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: bomMetadata{Timestamp: p.at.Format(time.RFC3339),
		Component: bomComponent{Type: "application", Ref: p.name(), Name: "daguerre", Version: p.version,
			PURL: "pkg:golang/github.com/daguerre-go/daguerre@v" + p.version, Licences: licences([]string{"MIT"})}}}
	for _, path := range append([]string{p.program}, p.libraries...) {
		sum, err := sumOf(path)
		if err != nil {
			return nil, err
		}
		file.Components = append(file.Components, bomComponent{Type: "file", Name: filepath.Base(path), Ref: "file:" + filepath.Base(path),
			Hashes: []bomHash{{"SHA-256", sum}}})
	}
	for _, part := range parts {
		file.Components = append(file.Components, bomComponent{Type: "library", Name: part.name, Version: part.version, PURL: part.purl,
			Ref: part.purl, Licences: licences(part.licences)})
	}
	text, err := json.MarshalIndent(file, "", "  ")
	return append(text, '\n'), err
}

func licences(names []string) []bomLicence {
	var list []bomLicence
	for _, name := range names {
		l := bomLicenceID{ID: name}
		if name == "LLVM-exception" { // an exception is no licence of SPDX's list
			l = bomLicenceID{Name: name}
		}
		list = append(list, bomLicence{l})
	}
	return list
}
