// Package convert writes a model file in other types: quantized GGUF, or plain safetensors or GGUF, out of any format and
// layout that package modelfile reads. Tensors are streamed, so that memory does not grow with the model; the file
// appears under its name only after every tensor was read back and compared.
package convert

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Errors for errors.Is.
var (
	// ErrOptions: an option has a value that cannot be used.
	ErrOptions = errors.New("bad conversion options")
	// ErrValue: a weight cannot be held by the type it is to be converted to.
	ErrValue = errors.New("value out of range")
	// ErrControlLoRA: a Control-LoRA does not go together with a model.
	ErrControlLoRA = errors.New("no ControlNet can be made of this Control-LoRA")
	// ErrVerify: what was read back is not what was written.
	ErrVerify = errors.New("verification failed")
)

// MetadataKey is the entry that says how a file was converted, as a JSON object.
const MetadataKey = "daguerre.converted"

// Stage tells what Options.Progress counts.
type Stage string

// The stages, in order.
const (
	StageWrite  Stage = "write"
	StageVerify Stage = "verify"
)

// Options say what to write. Only Type is needed.
type Options struct {
	Type   modelfile.DType  // of the large matrices; see Plan for what is kept at a higher precision
	Format modelfile.Format // FormatSafetensors or FormatGGUF; empty: by the output's extension
	Rules  []Rule           // exceptions; of several that match a tensor the last counts
	// Quantizer converts to and from quantized types. It may be nil where none are involved.
	Quantizer backend.Quantizer
	// Program is named in the metadata, as "daguerre 1.2".
	Program string
	// Progress, if not nil, is told the bytes of the input that were done, and all, for each stage.
	Progress func(stage Stage, done, total int64)

	size bool // nothing is converted, and no Quantizer is needed
}

// Convert writes the model file or diffusers folder `in` as the file `out`. Cancelling ctx stops it within a few
// megabytes; whatever stops it, nothing is left behind, and a file that was there before stays. Errors about the input are
// *modelfile.Error; a file that does not open as a model is not converted either.
func Convert(ctx context.Context, in, out string, opt Options) (*Report, error) {
	if opt.Format == "" {
		opt.Format = writer.FormatOf(out)
	}
	c, err := modelfile.OpenAll(in)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var report *Report
	err = fault.Catch(func() {
		fault.Check(c.Check())
		p := newPlan(c, opt)
		meta := metadata(in, c, opt, p)
		fault.Check(disk.CheckSpace(filepath.Dir(out), p.bytes()))
		report = newReport(in, out, opt, p)
		j := &job{ctx: ctx, opt: opt, plan: p, codec: codec{opt.Quantizer}, sums: make([]uint32, len(p.items))}
		fault.Check(writer.Atomically(out,
			func(w io.Writer) error { return j.write(w, meta) },
			func(temporary string) error { return j.verify(temporary, report) }))
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// metadata keeps the input's entries and adds what a reader of the output needs.
func metadata(in string, c *modelfile.Collection, opt Options, p *plan) map[string]string {
	m := fault.Value(writer.Metadata(c))
	how := struct {
		From    string   `json:"from"`
		Type    string   `json:"type"`
		Rules   []string `json:"rules,omitempty"`
		Program string   `json:"program,omitempty"`
	}{filepath.Base(in), strings.ToLower(string(opt.Type)), ruleTexts(opt.Rules), opt.Program}
	// Tensors that were reshaped are written in their own shapes.
	maps.DeleteFunc(m, func(k, _ string) bool { return strings.HasPrefix(k, modelfile.ReshapedKey) })
	m[MetadataKey] = string(fault.Value(json.Marshal(how)))
	if opt.Format == modelfile.FormatGGUF {
		if m["general.architecture"] == "" {
			m["general.architecture"] = "sdxl"
		}
		delete(m, "general.quantization_version")
		if p.quantizes() {
			m["general.quantization_version"] = quantizationVersion
		}
		delete(m, "general.file_type")
		if n, ok := fileTypes[opt.Type]; ok {
			m["general.file_type"] = n
		}
	} else if m["format"] == "" {
		m["format"] = "pt" // what transformers asks for
	}
	return m
}

// quantizationVersion is GGML_QNT_VERSION: the layout of quantized blocks.
const quantizationVersion = "2"

// fileTypes are the numbers of general.file_type: enum ggml_ftype, "mostly" of that type.
var fileTypes = map[modelfile.DType]string{"F32": "0", "F16": "1", "Q4_0": "2", "Q4_1": "3", "Q8_0": "7", "Q5_0": "8", "Q5_1": "9",
	"Q2_K": "10", "Q3_K": "11", "Q4_K": "12", "Q5_K": "13", "Q6_K": "14", "IQ4_NL": "19", "BF16": "24"}
