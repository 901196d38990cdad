//go:build !race

package modelfile_test

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestFindDamage: what is not finite is found before what is only wild, and only in the components that are asked about.
func TestFindDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNano}))
	m, err := ReadModel(backend.Files{Model: path})
	require.NoError(t, err)
	table, err := m.Table()
	require.NoError(t, err)
	require.NoError(t, FindDamage(t.Context(), table))
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	put := func(name string, index int, bits uint16) (stored string) {
		t.Helper()
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, w := range table.Weights {
			if w.Name == name {
				require.Equal(t, backend.TypeF16, w.Type)
				binary.LittleEndian.PutUint16(data[w.Offset+2*int64(index):], bits)
				require.NoError(t, os.WriteFile(path, data, 0o600))
				return w.Stored
			}
		}
		require.Fail(t, name)
		return ""
	}
	for _, c := range []struct {
		bits uint16
		says string
	}{{0x7e00, "value 5 is NaN"}, {0xfc00, "value 5 is -Inf"}, {0x7bff, "value 5 is 65504, which no model has"}, {0x3c00, ""}} {
		require.NoError(t, os.WriteFile(path, sound, 0o600))
		stored := put("vae.decoder.conv_in.weight", 5, c.bits)
		err := FindDamage(t.Context(), table, "vae_decoder")
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrTensor)
		assert.ErrorContains(t, err, c.says)
		assert.ErrorContains(t, err, stored)
		assert.ErrorContains(t, err, path)
		require.NoError(t, FindDamage(t.Context(), table, "vae_encoder", "unet"))
	}
	require.NoError(t, os.WriteFile(path, sound, 0o600))
	put("unet.conv_in.weight", 0, 0x7bff)
	nan := put("unet.conv_out.weight", 0, 0x7e00)
	assert.ErrorContains(t, FindDamage(t.Context(), table), nan)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, FindDamage(ctx, table), context.Canceled)
	require.NoError(t, os.Truncate(path, 1000))
	assert.Error(t, FindDamage(t.Context(), table))
}

// TestFindDamageInBlocks: the scales of every quantized type are looked at, wherever they are in a block.
func TestFindDamageInBlocks(t *testing.T) {
	const nan, inf, wild, sound = 0x7e00, 0xfc00, 0x7bff, 0x3c00
	type place struct {
		at   int
		f32  bool // else F16
		byte bool // an exponent
	}
	for typ, places := range map[backend.Type][]place{
		"q4_0": {{at: 0}}, "q4_1": {{at: 0}, {at: 2}}, "q5_0": {{at: 0}}, "q5_1": {{at: 0}, {at: 2}}, "q8_0": {{at: 0}}, "q8_1": {{at: 0}},
		"q2_k": {{at: 80}, {at: 82}}, "q3_k": {{at: 108}}, "q4_k": {{at: 0}, {at: 2}}, "q5_k": {{at: 0}, {at: 2}}, "q6_k": {{at: 208}},
		"q8_k": {{at: 0, f32: true}}, "iq2_xxs": {{at: 0}}, "iq2_xs": {{at: 0}}, "iq2_s": {{at: 0}}, "iq3_xxs": {{at: 0}}, "iq3_s": {{at: 0}},
		"iq4_nl": {{at: 0}}, "iq4_xs": {{at: 0}}, "iq1_s": {{at: 0}}, "tq1_0": {{at: 52}}, "tq2_0": {{at: 64}}, "q1_0": {{at: 0}},
		"mxfp4": {{at: 0, byte: true}},
	} {
		size, ok := DType(strings.ToUpper(string(typ))).Bytes(2048, 256)
		require.True(t, ok, typ)
		elements := int64(256)
		for n := int64(32); n < 256; n *= 2 {
			if _, ok := DType(strings.ToUpper(string(typ))).Bytes(n, n); ok {
				elements = n
				break
			}
		}
		block, _ := DType(strings.ToUpper(string(typ))).Bytes(elements, elements)
		path := filepath.Join(t.TempDir(), "model.gguf")
		table := &backend.Table{Files: []backend.TableFile{{Path: path}}, Weights: []backend.Weight{{Component: "unet", Name: "unet.x",
			Stored: "stored.x", Offset: 8, Bytes: size, Type: typ}}}
		find := func(data []byte) error {
			require.NoError(t, os.WriteFile(path, data, 0o600))
			return FindDamage(t.Context(), table)
		}
		clean := make([]byte, 8+size)
		require.NoError(t, find(clean), typ)
		for _, p := range places {
			for bits, says := range map[uint16]string{nan: "is NaN", inf: "is -Inf", wild: "which no model has", sound: ""} {
				data := slices.Clone(clean)
				at := data[8+3*block+int64(p.at):]
				switch {
				case p.byte && bits == wild:
					at[0] = 255
				case p.byte:
					continue
				case p.f32:
					binary.LittleEndian.PutUint32(at, math.Float32bits(HalfToFloat32(bits)))
				default:
					binary.LittleEndian.PutUint16(at, bits)
				}
				err := find(data)
				if says == "" {
					require.NoError(t, err, typ)
					continue
				}
				require.ErrorIs(t, err, ErrTensor, typ)
				assert.ErrorContains(t, err, "scale of block 3", typ)
				assert.ErrorContains(t, err, says, typ)
				assert.ErrorContains(t, err, "stored.x", typ)
			}
		}
	}
}

// TestFindDamageInScatteredScales: IQ1_M has four bits of its scale in each of four numbers.
func TestFindDamageInScatteredScales(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.gguf")
	table := &backend.Table{Files: []backend.TableFile{{Path: path}}, Weights: []backend.Weight{{Stored: "x", Bytes: 56, Type: "iq1_m"}}}
	data := make([]byte, 56)
	for i, digit := range []byte{0x00, 0x00, 0xe0, 0x70} { // 0x7e00
		data[48+2*i+1] = digit
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
	require.ErrorContains(t, FindDamage(t.Context(), table), "scale of block 0 is NaN")
}
