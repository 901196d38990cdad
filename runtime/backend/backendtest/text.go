package backendtest

import (
	"slices"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// tokenize: ids are of the vocabulary, the same in every call, from any number of goroutines, and the caller's.
func tokenize(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	texts := []string{"a red circle", "blue, on white", ""}
	var want [][]int32
	for _, text := range texts {
		ids, err := model.Tokenize(text)
		require.NoError(t, err)
		for _, id := range ids {
			require.True(t, id >= 0 && id < 49406, "%d of %q is no word", id, text)
		}
		want = append(want, slices.Clone(ids))
	}
	require.NotEmpty(t, want[0])
	require.Empty(t, want[2])
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 60 {
				ids, err := model.Tokenize(texts[i%3])
				if !assert.NoError(t, err) || !assert.ElementsMatch(t, want[i%3], ids) {
					return
				}
				clear(ids)
			}
		})
	}
	wg.Wait()
}

// encodeText: shapes, and chunks that do not depend on each other, on every token, layer and embedding.
func encodeText(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	info := model.Info()
	for encoder, text := range []backend.TextInfo{info.TextEncoder, info.TextEncoder2} {
		encode := func(in backend.TextInput) backend.TextOutput {
			in.Encoder = encoder
			out, err := model.EncodeText(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, []int{len(in.IDs), text.MaxTokens, text.Width}, out.Hidden.Shape)
			requireNumbers(t, out.Hidden.Data)
			if text.ProjectionDim == 0 {
				require.Zero(t, out.Pooled)
				return out
			}
			require.Equal(t, []int{len(in.IDs), text.ProjectionDim}, out.Pooled.Shape)
			requireNumbers(t, out.Pooled.Data)
			return out
		}
		ids := [][]int32{chunk(320, 1125, 539), chunk(320, 2368), chunk()}
		all := encode(backend.TextInput{IDs: ids})
		require.Equal(t, all, encode(backend.TextInput{IDs: ids}), "twice")
		for i := range ids {
			one := encode(backend.TextInput{IDs: ids[i : i+1]})
			requireNear(t, rows(all.Hidden, i, 1).Data, one.Hidden.Data, "a chunk by itself")
			if text.ProjectionDim > 0 {
				requireNear(t, rows(all.Pooled, i, 1).Data, one.Pooled.Data, "a chunk by itself")
			}
		}
		seen := [][]float32{all.Hidden.Data[:text.MaxTokens*text.Width]}
		differs := func(what string, x []float32) {
			for _, other := range seen {
				require.NotEqual(t, other, x, what)
			}
			seen = append(seen, x)
		}
		differs("tokens", all.Hidden.Data[text.MaxTokens*text.Width:][:text.MaxTokens*text.Width])
		for skip := 1; skip <= text.Layers-2; skip++ {
			differs("clip skip", encode(backend.TextInput{IDs: ids[:1], ClipSkip: skip}).Hidden.Data)
		}
		vocabulary := int32(text.VocabSize)
		custom := values(7, 2, text.Width)
		second := encode(backend.TextInput{IDs: [][]int32{chunk(320, vocabulary+1, 539)}, Custom: custom}).Hidden.Data
		differs("second custom row", second)
		differs("first custom row", encode(backend.TextInput{IDs: [][]int32{chunk(320, vocabulary, 539)}, Custom: custom}).Hidden.Data)
		alone := encode(backend.TextInput{IDs: [][]int32{chunk(320, vocabulary, 539)}, Custom: rows(custom, 1, 1)}).Hidden.Data
		requireNear(t, second, alone, "the same custom row at another place")
	}
}

func encodeTextRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	text := model.Info().TextEncoder
	vocabulary := int32(text.VocabSize)
	requireRefusals(t, func() backend.TextInput {
		return backend.TextInput{IDs: [][]int32{chunk(320, vocabulary)}, Custom: values(1, 1, text.Width)}
	}, func(in backend.TextInput) error {
		_, err := model.EncodeText(t.Context(), in)
		return err
	}, map[string]func(*backend.TextInput){
		"encoder":          func(in *backend.TextInput) { in.Encoder = 2 },
		"clip skip":        func(in *backend.TextInput) { in.ClipSkip = text.Layers - 1 },
		"negative skip":    func(in *backend.TextInput) { in.ClipSkip = -1 },
		"no chunk":         func(in *backend.TextInput) { in.IDs = nil },
		"short chunk":      func(in *backend.TextInput) { in.IDs[0] = in.IDs[0][:76] },
		"long chunk":       func(in *backend.TextInput) { in.IDs[0] = append(in.IDs[0], 0) },
		"negative id":      func(in *backend.TextInput) { in.IDs[0][1] = -1 },
		"no such row":      func(in *backend.TextInput) { in.IDs[0][1] = vocabulary + 1 },
		"no custom rows":   func(in *backend.TextInput) { in.Custom = backend.Tensor{} },
		"custom width":     func(in *backend.TextInput) { in.Custom = values(1, 1, text.Width+1) },
		"custom dimension": func(in *backend.TextInput) { in.Custom.Shape = []int{text.Width} },
		"custom data":      func(in *backend.TextInput) { in.Custom.Data = in.Custom.Data[1:] },
	})
}
