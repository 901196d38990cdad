package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// showPictures shows a request's pictures to its IP-Adapters. What they make of them is kept; the nets are not needed after that.
func (s *sitting) showPictures(ctx context.Context, m *member) error {
	for i := range m.IPAdapters {
		spec := &m.IPAdapters[i]
		if !spec.Acts() {
			continue
		}
		s.hold(memory.StageImage)
		shown, err := s.show(ctx, m, spec)
		if err != nil {
			return fmt.Errorf("ip_adapter[%d]: %w", i, err)
		}
		m.Pictures = append(m.Pictures, shown...)
	}
	return nil
}

// show makes the keys and values of one adapter's pictures.
func (s *sitting) show(ctx context.Context, m *member, spec *prepare.IPAdapter) ([]*steps.Shown, error) {
	e := steps.Embedded{Faces: rowsOfFaces(spec.Faces)}
	switch {
	case len(spec.Images) > 0:
		var err error
		if e.Pictures, err = s.embed(ctx, m, spec); err != nil {
			return nil, err
		}
		if spec.SaveEmbeds != "" {
			if err := saveEmbeds(spec.SaveEmbeds, e.Pictures); err != nil {
				return nil, err
			}
		}
	case !spec.Embeds.IsZero():
		e.Pictures = withNegative(spec.Embeds)
	}
	adapter, err := s.open(ctx, m, "ip_adapter", spec.Path, spec)
	if err != nil {
		return nil, err
	}
	shown, err := steps.NewShown(ctx, adapter.Value.Model, spec, e)
	return shown, errors.Join(err, s.done(adapter))
}

// done gives a net back after its use. It stays open while there is room; its compute buffer goes, and its weights where the strategy does
// not keep them.
func (s *sitting) done(net *models.Lease) error {
	m := net.Value
	errs := []error{m.ReleaseCompute()}
	if name := s.memory.strategy.Name; name != memory.Resident && name != "" {
		errs = append(errs, models.Free(m.Model, m.Owner, s.memory.strategy, memory.StageDenoise))
	}
	return errors.Join(append(errs, net.Release())...)
}

// open leases a net of an adapter.
func (s *sitting) open(ctx context.Context, m *member, role, path string, spec *prepare.IPAdapter) (*models.Lease, error) {
	id := spec.ID
	if role == "image_encoder" {
		id = spec.EncoderID
	}
	net, err := s.p.models.Net(ctx, role, path, id)
	if err != nil {
		return nil, err
	}
	for _, w := range net.Value.Warnings() {
		m.plan.warn(s.p.log, w)
	}
	return net, nil
}

// embed runs the image encoder on an adapter's pictures, one at a time: [2, pictures, ...], the negative half first. As in diffusers, the
// negative half is zeros where the adapter takes one embedding, and the encoding of a picture of zeros where it takes hidden states.
func (s *sitting) embed(ctx context.Context, m *member, spec *prepare.IPAdapter) (out backend.Tensor, err error) {
	net, err := s.open(ctx, m, "image_encoder", spec.Encoder, spec)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.done(net)) }()
	encoder, ok := net.Value.Model.(backend.ImageModel)
	if !ok {
		return out, backend.ErrUnsupported
	}
	size, hidden := net.Value.Info.ImageEncoder.Size, spec.Dims.Plus()
	encode := func(pixels []float32) (backend.Tensor, error) {
		return encoder.EncodePicture(ctx, backend.Tensor{Shape: []int{1, 3, size, size}, Data: pixels}, hidden)
	}
	negative := backend.Tensor{}
	if hidden {
		if negative, err = encode(make([]float32, 3*size*size)); err != nil {
			return out, err
		}
	}
	n := len(spec.Images)
	for i, pic := range spec.Images {
		one, err := encode(picture.CLIP(pic.Image, size))
		if err != nil {
			return out, err
		}
		each := len(one.Data)
		if i == 0 {
			out = backend.NewTensor(append([]int{2, n}, one.Shape[1:]...)...)
		}
		copy(out.Data[i*each:], negative.Data)
		copy(out.Data[(n+i)*each:], one.Data)
	}
	return out, nil
}

// withNegative completes saved embeddings by a negative half of zeros, if they have none.
func withNegative(a request.Array) backend.Tensor {
	t := backend.Tensor{Shape: a.Shape, Data: a.Data}
	if a.Shape[0] == 2 {
		return t
	}
	out := backend.NewTensor(append([]int{2}, a.Shape[1:]...)...)
	copy(out.Data[len(a.Data):], a.Data)
	return out
}

// rowsOfFaces turns faces, [dim], [faces, dim] or diffusers' [2, faces, dim], into [2, faces, dim]. The negative half is zeros.
func rowsOfFaces(a request.Array) backend.Tensor {
	if a.IsZero() {
		return backend.Tensor{}
	}
	shape := a.Shape
	for len(shape) < 3 {
		shape = append([]int{1}, shape...)
	}
	return withNegative(request.Array{Shape: shape, Data: a.Data})
}

// saveEmbeds writes embeddings as diffusers' ip_adapter_image_embeds, to .npy or .safetensors.
func saveEmbeds(path string, t backend.Tensor) error {
	return npy.WriteTensor(path, "image_embeds", npy.Array{Shape: t.Shape, Data: t.Data})
}
