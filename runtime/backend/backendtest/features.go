package backendtest

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// features: storing changes nothing, what is reused is what was stored, and it is the rows' own.
func features(t tester, m Models) {
	opened := open(t, m.Backend, m.Base)
	model, ok := opened.(backend.FeatureModel)
	if !ok {
		return
	}
	made := func() backend.Features {
		f, err := model.NewFeatures(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		return f
	}
	const n, h, w = 2, 8, 6
	in, plain := unetInput(opened.Info(), n, h, w)
	require.NoError(t, opened.UNet(t.Context(), in, plain))
	eval := func(in backend.UNetInput, k backend.Kept) []float32 {
		in.Kept = k
		out := make([]float32, len(plain)/n*in.Sample.Shape[0])
		require.NoError(t, opened.UNet(t.Context(), in, out))
		return out
	}
	later, _ := unetInput(opened.Info(), n, h, w)
	for i := range later.Timesteps {
		later.Timesteps[i] -= 10
	}
	uses := []backend.Kept{{Keep: backend.KeepTextAttention}}
	for branch := range opened.Info().UNet.Branches() {
		uses = append(uses, backend.Kept{Keep: backend.KeepDeep, Branch: branch})
	}
	for _, k := range uses {
		name := fmt.Sprint(k.Keep, " ", k.Branch)
		k.Features, k.Use = made(), backend.FeaturesStore
		first := eval(in, k)
		requireNear(t, plain, first, name)
		if k.Keep == backend.KeepDeep {
			require.Equal(t, plain, first, name)
		}
		k.Use = backend.FeaturesReuse
		requireNumbers(t, eval(later, k))
		once := eval(in, k)
		require.Equal(t, once, eval(in, k), name)
		if k.Keep == backend.KeepTextAttention { // which reads no text
			other := in
			other.Context = values(7, n, 77, opened.Info().UNet.ContextDim)
			require.Equal(t, once, eval(other, k), name)
		}
		// each row by itself
		for i := range n {
			one := backend.UNetInput{Sample: rows(in.Sample, i, 1), Timesteps: in.Timesteps[i : i+1], Context: rows(in.Context, i, 1),
				Pooled: rows(in.Pooled, i, 1), SizeIDs: rows(in.SizeIDs, i, 1)}
			own := backend.Kept{Features: made(), Keep: k.Keep, Use: backend.FeaturesStore, Branch: k.Branch}
			eval(one, own)
			own.Use = backend.FeaturesReuse
			size := len(plain) / n
			requireNear(t, once[i*size:(i+1)*size], eval(one, own), name)
		}
	}
	featuresMean(t, opened, made)
}

// featuresMean: the mean of two evaluations lies between them, and that of two equal ones is each of them.
func featuresMean(t tester, opened backend.Model, made func() backend.Features) {
	in, out := unetInput(opened.Info(), 1, 8, 8)
	other, _ := unetInput(opened.Info(), 1, 8, 8)
	other.Context = values(9, 1, 77, opened.Info().UNet.ContextDim)
	reused := func(all ...backend.UNetInput) []float32 {
		k := backend.Kept{Features: made(), Keep: backend.KeepTextAttention, Use: backend.FeaturesStore}
		for _, x := range all {
			x.Kept = k
			require.NoError(t, opened.UNet(t.Context(), x, out))
			k.Use = backend.FeaturesMean
		}
		k.Use = backend.FeaturesReuse
		last := in
		last.Kept = k
		require.NoError(t, opened.UNet(t.Context(), last, out))
		return slices.Clone(out)
	}
	require.Equal(t, reused(in), reused(in, in))
	require.NotEqual(t, reused(in), reused(in, other))
	requireNear(t, reused(other, in), reused(in, other), "in the other order")
}

// featuresRefuse: what was never stored, was stored otherwise, or belongs to another model.
func featuresRefuse(t tester, m Models) {
	opened := open(t, m.Backend, m.Base)
	model, ok := opened.(backend.FeatureModel)
	if !ok {
		return
	}
	f, err := model.NewFeatures(t.Context())
	require.NoError(t, err)
	const n, h, w = 2, 8, 8
	in, out := unetInput(opened.Info(), n, h, w)
	refused := func(in backend.UNetInput, k backend.Kept) {
		in.Kept = k
		size := len(out) / n / h * in.Sample.Shape[0] * in.Sample.Shape[2]
		require.ErrorIs(t, opened.UNet(t.Context(), in, make([]float32, size)), backend.ErrArgument)
	}
	kept := backend.Kept{Features: f, Keep: backend.KeepDeep, Use: backend.FeaturesReuse, Branch: 1}
	refused(in, kept)
	stored := in
	stored.Kept = kept
	stored.Kept.Use = backend.FeaturesStore
	require.NoError(t, opened.UNet(t.Context(), stored, out))
	for _, edit := range []func(k *backend.Kept){
		func(k *backend.Kept) { k.Branch = 0 },
		func(k *backend.Kept) { k.Branch = opened.Info().UNet.Branches() },
		func(k *backend.Kept) { k.Branch = -1 },
		func(k *backend.Kept) { k.Keep = backend.KeepTextAttention },
		func(k *backend.Kept) { k.Keep = "all" },
		func(k *backend.Kept) { k.Keep, k.Branch = backend.KeepTextAttention, 0 },
		func(k *backend.Kept) { k.Use = "forget" },
		func(k *backend.Kept) { k.Features = nil },
	} {
		bad := kept
		edit(&bad)
		refused(in, bad)
	}
	fewer, _ := unetInput(opened.Info(), 1, h, w)
	refused(fewer, kept)
	lower, _ := unetInput(opened.Info(), n, h/2, w)
	refused(lower, kept)
	second := open(t, m.Backend, m.Base)
	in.Kept = kept
	require.NoError(t, opened.UNet(t.Context(), in, out), "what is refused changes nothing")
	require.ErrorIs(t, second.UNet(t.Context(), in, out), backend.ErrArgument, "another model's")

	before := opened.MemoryStats().Compute
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	require.Less(t, opened.MemoryStats().Compute, before)
	refused(in, kept)
	q := backend.ComputeQuery{Stage: backend.StageFeatures, Batch: n, Height: h, Width: w, ContextTokens: 77, Keep: backend.KeepDeep}
	size, err := opened.ComputeBytes(q)
	require.NoError(t, err)
	require.Positive(t, size)
	q.Branch = opened.Info().UNet.Branches()
	_, err = opened.ComputeBytes(q)
	require.ErrorIs(t, err, backend.ErrArgument)
}
