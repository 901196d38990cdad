package adapters

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// FuzzOpen reads whole files: whatever they hold, an adapter that opens has as many tensors as it says, and targets that fit the
// modules they name.
func FuzzOpen(f *testing.F) {
	// Small ones: the fuzzer spends its time on making large inputs small.
	key, conv, first := "lora_unet_mid_block_attentions_0_proj_in", "lora_unet_conv_out", "lora_unet_conv_in"
	for _, entries := range [][]entry{
		{random(key+".lora_down.weight", 1, 128), random(key+".lora_up.weight", 128, 1), scalar(key+".alpha", 1),
			random(key+".dora_scale", 128, 1)},
		{random(conv+".lora_down.weight", 1, 32, 1, 1), random(conv+".lora_mid.weight", 1, 1, 3, 3), random(conv+".lora_up.weight", 4, 1, 1, 1)},
		{random(conv+".hada_w1_a", 4, 1), random(conv+".hada_w1_b", 1, 288), random(conv+".hada_w2_a", 4, 1), random(conv+".hada_w2_b", 1, 288)},
		{random(conv+".lokr_w1", 2, 2), random(conv+".lokr_w2_a", 1, 2), random(conv+".lokr_w2_b", 1, 16), random(conv+".lokr_t2", 1, 1, 3, 3)},
		{random(conv+".weight", 4), scalar(conv+".on_input", 0), random(conv+".diff_b", 4), random("lora_unet_conv_norm_out.w_norm", 32)},
		{random(conv+".oft_blocks", 2, 2, 2), random(conv+".rescale", 4, 1, 1, 1), scalar(conv+".alpha", 0.01)},
		{random(conv+".oft_blocks", 2, 2, 2, 2), random(conv+".rescale", 4, 1, 1, 1)},
		{random("base_model.model.conv_in.boft_R", 2, 18, 2, 2), random("base_model.model.conv_in.boft_s", 1, 32)},
		{random(first+".a1.weight", 4, 1, 1, 1), random(first+".a2.weight", 1, 4, 1, 1), random(first+".b1.weight", 32, 1, 1, 1),
			random(first+".b2.weight", 1, 4, 3, 3)},
		{random("base_model.model.conv_out.ia3_l", 1, 4, 1, 1), random("base_model.model.conv_in.ia3_l", 1, 32, 1, 1)},
	} {
		f.Add(safetensors(f, nil, entries...))
	}
	f.Add([]byte("\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."))
	f.Add(safetensors(f, map[string]string{"lora_adapter_metadata": `{"unet.r": 0}`}, random("base_model.model.unet.conv_out.lokr_w1", 2, 2),
		random("base_model.model.unet.conv_out.lokr_w2", 2, 16, 3, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := Open(path, nano)
		if err != nil {
			return
		}
		defer a.Close()
		r := a.Report
		if r.Applied+len(r.Unmatched) != r.Tensors || r.Applied < 1 || r.Targets != len(a.Infos()) {
			t.Fatalf("%d applied and %d not of %d; %d targets", r.Applied, len(r.Unmatched), r.Tensors, r.Targets)
		}
		targets, err := a.Targets(t.Context())
		if err != nil {
			return
		}
		for i, x := range targets {
			m, ok := nano.index.modules[x.Module]
			if !ok || a.planned[i].bytes != targetBytes(x) {
				t.Fatalf("target %d: module %q, %d bytes planned, %d made", i, x.Module, a.planned[i].bytes, targetBytes(x))
			}
			g := group{module: m}
			shape := g.weightShape()
			if x.Form == backend.LoRABias || x.Form == backend.LoRABiasScale {
				shape = []int{m.Out}
			}
			if err := (Merger{}).MergeLoRA(make([]float32, backend.Count(shape...)), shape, x, 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzKeys maps names: none may panic, and a module found has to be one of the model's.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{"lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight",
		"base_model.model.text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight",
		"lycoris_.alpha", "unet..lora_up.weight", ".alpha", "lora_te1_lora_te2_.dora_scale"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		base, s, ok := splitKey(name)
		if ok && (base == "" || s.part == "") {
			t.Fatalf("%q splits into %q and %+v", name, base, s)
		}
		if m, _, found := nano.index.find(base); found && nano.index.modules[m.Name] != m {
			t.Fatalf("%q is %q", name, m.Name)
		}
	})
}
