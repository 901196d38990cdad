package modelfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// fuzzRead: whatever the bytes are, the result is an *Error or a File whose tensors can be read.
func fuzzRead(t *testing.T, name string, b []byte) {
	f, err := parse(name, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		if errors.Is(err, ErrRead) {
			t.Fatalf("a hostile file looks like a broken disk: %v", err)
		}
		return
	}
	for _, x := range f.Tensors {
		if x.Offset < 0 || x.Size < 0 || x.Contiguous() && x.Offset > int64(len(b))-x.Size {
			t.Fatalf("tensor %q at %d, %d bytes, in a file of %d", x.Name, x.Offset, x.Size, len(b))
		}
		raw, err := f.ReadRaw(x.Name)
		if err != nil || int64(len(raw)) != x.Size {
			t.Fatalf("tensor %q: %d bytes of %d, %v", x.Name, len(raw), x.Size, err)
		}
		if v, err := f.ReadFloat32(x.Name); err == nil && int64(len(v)) != x.Elements() {
			t.Fatalf("tensor %q: %d numbers of %d", x.Name, len(v), x.Elements())
		}
	}
	if _, err := f.config(locate(newTable(0, f))); err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
	}
	s := &source{path: name, files: []*File{f}, owner: []string{""}, parts: locate(newTable(0, f))}
	if err := fault.Catch(s.readScales); err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		return
	}
	s.understand()
	m := &Model{}
	if err := m.add("model", s); err != nil { // a bad configuration
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		return
	}
	m.Dims = infer(m.parts)
	_ = s.check(m.Inputs[0].Report, nil)
	table, err := m.Table()
	if err != nil {
		return
	}
	for _, w := range table.Weights {
		if w.Offset < 0 || w.Bytes < 0 || w.Offset > int64(len(b))-w.Bytes {
			t.Fatalf("weight %q at %d, %d bytes, in a file of %d", w.Name, w.Offset, w.Bytes, len(b))
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(stFile(oneTensor, 24))
	f.Add(stFile(`{"b":{"dtype":"F16","shape":[],"data_offsets":[24,26]},"a":{"dtype":"BF16","shape":[2,6],"data_offsets":[0,24]}}`, 26))
	f.Add(stFile(`{"__metadata__":{"daguerre.config":"{\"unet\":{\"norm_num_groups\":4}}"},"v_pred":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0))
	f.Add(stFile(`{"input_blocks.0.0.weight":{"dtype":"F8_E4M3","shape":[1,4,3,1],"data_offsets":[0,12]},`+
		`"input_blocks.0.0.scale_weight":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},`+
		`"scaled_fp8":{"dtype":"F32","shape":[0],"data_offsets":[16,16]}}`, 16))
	f.Add(stFile(`{"__metadata__":{"_quantization_metadata":"{\"layers\":{\"input_blocks.0.0\":{\"format\":\"float8_e4m3fn\"}}}"},`+
		`"input_blocks.0.0.weight":{"dtype":"U8","shape":[1,4,3,1],"data_offsets":[0,12]},`+
		`"input_blocks.0.0.comfy_quant":{"dtype":"U8","shape":[2],"data_offsets":[12,14]},`+
		`"edm_mean":{"dtype":"U8","shape":[1],"data_offsets":[14,15]},"edm_std":{"dtype":"U8","shape":[1],"data_offsets":[15,16]}}`, 16))
	f.Add(stFile(`{"input_blocks.0.0.weight":{"dtype":"F8_E4M3","shape":[1,4,3,1],"data_offsets":[0,12]},"input_blocks.1.0.in_layers.2.weight":{"dtype":"U8","shape":[2],"data_offsets":[12,14]}}`, 14))
	f.Add(stFile(`{"text_model.embeddings.token_embedding.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}`, 8))
	f.Add(stFile(`{"module._orig_mod.decoder.conv_in.weight":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`, 3))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, "m.safetensors", b) })
}

func FuzzGGUF(f *testing.F) {
	g := newGGUF(2, 3)
	g.str("general.alignment").num(uint32(4), uint32(32)).str("s").num(uint32(8)).str("x").str("l").num(uint32(9), uint32(4), uint64(1),
		uint32(7))
	f.Add(g.tensor("a", 0, 0, 3, 2).tensor("q", 8, 32, 32, 1).data(32 + 34))
	f.Add(newGGUF(0, 0).data(0))
	f.Add(newGGUF(1, 0).tensor("a", 1, 0, 2, 2, 2, 2).data(32))
	reshaped := newGGUF(2, 1).str(ReshapedKey+"input_blocks.0.0.weight").num(uint32(9), uint32(5), uint64(4), []int32{64, 4, 1, 1})
	f.Add(reshaped.tensor("input_blocks.0.0.weight", 12, 0, 256, 1).tensor("x", 4, 160, 8).data(192))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, "m.gguf", b) })
}

func addTorchSeeds(f *testing.F) {
	files, err := filepath.Glob("testdata/torch/*.p*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "testdata/torch/ck.ckpt") {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzTorch(f *testing.F) {
	addTorchSeeds(f)
	f.Add(torchZip(pkDict(pkStr("w"), pkTensor("FloatStorage", "0", 6, 0, []int64{2, 3}, []int64{1, 2})),
		map[string][]byte{"0": make([]byte, 24)}))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, "m.pt", b) })
}

// FuzzPickle mutates the program inside a sound archive.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(pkDict(pkStr("w"), pkTensor("FloatStorage", "0", 6, 0, []int64{2, 3}, []int64{1, 2}), pkStr("n"), pkInt(4))))
	f.Add([]byte("\x80\x02cposix\nsystem\n(X\x01\x00\x00\x00xtR."))
	f.Add([]byte("\x80\x02]" + pickleBomb() + "."))
	f.Add([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94]\x94" +
		"(K\x01M\x02\x00J\x03\x00\x00\x00G\x00\x00\x00\x00\x00\x00\x00\x00es."))
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\n](X\x01\x00\x00\x00aN\x86e\x85R}X\x0b\x00\x00\x00_parameters}sb."))
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzRead(t, "m.pt", torchZip(string(b), map[string][]byte{"0": make([]byte, 24), "1": nil}))
	})
}

func FuzzConfig(f *testing.F) {
	f.Add(`{"unet":{"norm_num_groups":4,"attention_head_dim":[5,10],"block_out_channels":[320,640]},"vae":{"scaling_factor":0.5,"latents_mean":[1],"latents_std":[1]}}`)
	f.Add(`{"scheduler":{"prediction_type":"v_prediction","sigma_max":80},"default":{"width":128},"force_zeros_for_empty_prompt":true}`)
	f.Add(`{"text_encoder":{"hidden_act":"gelu","hidden_size":64,"num_attention_heads":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseObject([]byte(text), "config.json", "")
		var c Config
		if err == nil {
			err = fault.Catch(func() { c.fromObject(o) })
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		if err == nil {
			s, err := c.MarshalMetadata()
			if err != nil {
				t.Fatal(err)
			}
			back, err := parseObject([]byte(s), "x", "")
			if err != nil {
				t.Fatal(err)
			}
			if err := fault.Catch(func() { new(Config).fromObject(back) }); err != nil {
				t.Fatalf("own output is not read: %v", err)
			}
		}
	})
}
