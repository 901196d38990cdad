package models

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Set is the models of a pipeline: the base, and what is opened beside it. It is safe for concurrent use.
type Set struct {
	Base  Model
	TAESD backend.Model // nil: none
	Coder *vae.Coder    // the base's VAE, repeated in F32 where that is needed

	backend backend.Backend
	sources Sources
	refiner Opening
	holding Holding
	nets    *lease.Cache[netKey, Model]
	refined *lease.Cache[string, Model]
	vaes    *vae.Cache // of the VAE in F32, and of the upscaler
	stays   *Lease     // of a refiner that is not opened on demand
}

// netKey is a ControlNet's file, with its identity when the net was opened.
type netKey struct {
	path string
	id   identity.ID
}

// Model is an open model with what it says of itself.
type Model struct {
	backend.Model
	Info  backend.ModelInfo
	Owner string         // in package memory
	Zeros bool           // an absent negative prompt is zeros, if the request does not say otherwise
	Table *backend.Table // of its weights; nil where no file was read
}

// Warnings are for the user: tensors of the model's files that nothing uses.
func (m Model) Warnings() []string {
	if m.Table == nil {
		return nil
	}
	return m.Table.Warnings
}

// Damage looks for the reason of an output that is not finite: it returns an error that names a damaged weight, or nil. Without components
// it looks at all of them.
func (m Model) Damage(ctx context.Context, components ...string) error {
	if m.Table == nil {
		return nil
	}
	return modelfile.FindDamage(ctx, m.Table, components...)
}

// Lease is the use of a Model until Release.
type Lease = lease.Lease[Model]

// Open opens what stays open beside the base: the TAESD, and the refiner if it is not opened on demand. m is the base; the Set closes it,
// also after an error. base and refiner are what their headers say.
func Open(ctx context.Context, b backend.Backend, s Sources, m backend.Model, base, refiner Opening, h Holding) (*Set, error) {
	set := &Set{Base: Model{Model: m, Info: m.Info(), Owner: memory.OwnerModel, Zeros: base.Settings.ForceZeros,
		Table: base.Config.Table}, backend: b, sources: s,
		refiner: refiner, holding: h}
	limit := s.ControlBytes
	if limit == 0 {
		limit = DefaultControlBytes
	}
	closeModel := func(m Model) error { return m.Close() }
	set.nets = lease.New[netKey](lease.Options[Model]{Close: closeModel, Bytes: limit, Strict: true})
	set.refined = lease.New[string](lease.Options[Model]{Close: closeModel, Count: -1})
	set.vaes = vae.NewCache(b)
	set.Coder = vae.NewCoder(m, set.vaes, vae.ExactConfig(base.Config))
	err := set.openRest(ctx)
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return set, nil
}

func (s *Set) openRest(ctx context.Context) error {
	if s.sources.HasTAESD() {
		m, err := s.backend.Open(ctx, s.sources.TAESD)
		if err != nil {
			return fmt.Errorf("taesd: %w", err)
		}
		s.TAESD = m
		if err := checkTAESD(m.Info(), s.Base.Info); err != nil {
			return fmt.Errorf("taesd: %s: %w", s.sources.TAESD.Files.TAESD, err)
		}
	}
	if !s.sources.HasRefiner() || s.sources.RefinerOnDemand {
		return nil
	}
	var err error
	if s.stays, err = s.Refiner(ctx); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}

// Refiner opens the refiner where it is not open.
func (s *Set) Refiner(ctx context.Context) (*Lease, error) {
	return s.refined.Acquire(ctx, "", func(ctx context.Context) (Model, int64, error) {
		m, err := s.backend.Open(ctx, s.holding.Apply(s.refiner.Config))
		if err != nil {
			return Model{}, 0, err
		}
		info := m.Info()
		if err := checkRefiner(info, s.Base.Info); err != nil {
			return Model{}, 0, errors.Join(fmt.Errorf("%s: %w", s.refiner.Config.Files.Model, err), m.Close())
		}
		zeros := info.Kind != backend.KindSDXLRefiner // stabilityai/stable-diffusion-xl-refiner-1.0's model_index.json says false
		if stated := s.refiner.ForceZeros; stated != nil {
			zeros = *stated
		}
		return Model{Model: m, Info: info, Owner: memory.OwnerRefiner, Zeros: zeros, Table: s.refiner.Config.Table}, weightBytes(info), nil
	})
}

// ControlNet opens the net of a file if it is not open. If necessary it closes nets that nobody uses. was is the file's identity when its
// job was prepared; another file is refused. Zero: any file is taken.
func (s *Set) ControlNet(ctx context.Context, path string, was identity.ID) (*Lease, error) {
	return s.Net(ctx, "controlnet", path, was)
}

// Net is ControlNet for a role: "controlnet", "image_encoder", "ip_adapter" or "detector".
func (s *Set) Net(ctx context.Context, role, path string, was identity.ID) (*Lease, error) {
	key, err := s.netKey(path, was)
	if err != nil {
		return nil, err
	}
	l, err := s.nets.Acquire(ctx, key, func(ctx context.Context) (Model, int64, error) {
		cfg := s.sources.NetOf(role)
		if !Fileless(s.backend) {
			var err error
			if cfg, err = NetConfig(cfg, role, path); err != nil {
				return Model{}, 0, err
			}
			if err := key.id.Compare(path, cfg.Table.Files[0].Identity); err != nil {
				return Model{}, 0, err
			}
		}
		cfg.Files = netFiles(role, path)
		m, err := s.backend.Open(ctx, s.holding.Apply(cfg))
		if err != nil {
			return Model{}, 0, err
		}
		info := m.Info()
		if err := checkNet(info, s.Base.Info); err != nil {
			return Model{}, 0, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
		}
		return Model{Model: m, Info: info, Owner: path, Table: cfg.Table}, weightBytes(info), nil
	})
	var over *lease.LimitError
	if errors.As(err, &over) {
		return nil, fmt.Errorf("%w: %d MiB with %s, and controlnet_cache_mb allows %d; use fewer at once, or raise it", ErrControlMemory,
			(over.Needed+over.InUse)>>20, filepath.Base(path), over.Limit>>20)
	}
	return l, err
}

// netKey is the key of a file's net. It closes unused nets of earlier versions of the file.
func (s *Set) netKey(path string, was identity.ID) (netKey, error) {
	if Fileless(s.backend) {
		return netKey{path: path}, nil
	}
	if err := was.Check(path); err != nil {
		return netKey{}, err
	}
	now, err := identity.Of(path)
	if err != nil {
		return netKey{}, err
	}
	key := netKey{path, now.Key()}
	for _, i := range s.nets.List() {
		if i.Key.path == path && i.Key != key && i.InUse == 0 {
			_ = s.nets.Drop(i.Key) // somebody may use it by now; then it is closed later
		}
	}
	return key, nil
}

// netFiles names the file of a net.
func netFiles(role, path string) (f backend.Files) {
	switch role {
	case "image_encoder":
		f.ImageEncoder = path
	case "ip_adapter":
		f.IPAdapter = path
	case "detector":
		f.Detector = path
	default:
		f.ControlNet = path
	}
	return f
}

// NetConfig is how the net of a file is opened, with what its header says. of is how every one of its role is.
func NetConfig(of backend.ModelConfig, role, path string) (backend.ModelConfig, error) {
	of.Files = netFiles(role, path)
	m, err := modelfile.ReadModel(of.Files)
	if err != nil {
		return of, err
	}
	stated := m.Inputs[0].Report.Config
	of.Hyper.UNetNormNumGroups, of.Hyper.UNetAttentionHeadDim = stated.UNet.NormNumGroups, stated.UNet.HeadDim
	of.Hyper.ImageHeadDim, of.Hyper.ImageEncoderAct = stated.ImageEncoder.HeadDim, stated.ImageEncoder.HiddenAct
	if x := m.Inputs[0].Report.Dims.ControlNet; x != nil && x.XS != nil {
		of.Hyper.XS = xsHyper(stated.ControlXS, len(x.XS.Channels))
	}
	of.Table, err = m.Table()
	return of, err
}

// Upscaler opens the upscaler where it is not open.
func (s *Set) Upscaler(ctx context.Context) (*lease.Lease[backend.Model], error) {
	return s.vaes.Acquire(ctx, s.sources.Upscaler)
}

// weightBytes is what a model's weights take.
func weightBytes(info backend.ModelInfo) (n int64) {
	for _, c := range info.Components {
		n += c.ParameterBytes
	}
	return n
}

// Models lists the models that are open, the base first.
func (s *Set) Models() []backend.Model {
	out := []backend.Model{s.Base.Model}
	if s.TAESD != nil {
		out = append(out, s.TAESD)
	}
	for _, i := range s.refined.List() {
		out = append(out, i.Value.Model)
	}
	for _, i := range s.nets.List() {
		out = append(out, i.Value.Model)
	}
	return out
}

// Idle is a model that stays open between jobs.
type Idle struct {
	Owner     string // a ControlNet's file; memory.OwnerUpscaler; memory.OwnerModel for its VAE in F32
	Component string
	Device    string
	Bytes     int64 // that it holds
	drop      func() error
}

// Idle lists the models that are open and that no job computes with now, the least recently used first: ControlNets, the upscaler, the VAE
// in F32.
func (s *Set) Idle() []Idle {
	var out []Idle
	for _, i := range s.nets.List() {
		if i.InUse == 0 {
			out = append(out, idle(i.Value.Model, i.Key.path, func() error { return s.nets.Drop(i.Key) }))
		}
	}
	for _, i := range s.vaes.List() {
		owner := memory.OwnerModel
		if i.Value.Info().Kind == backend.KindUpscaler {
			owner = memory.OwnerUpscaler
		}
		if owner == memory.OwnerModel || i.InUse == 0 {
			out = append(out, idle(i.Value, owner, func() error { return s.vaes.Drop(i.Key) }))
		}
	}
	slices.Reverse(out)
	return out
}

func idle(m backend.Model, owner string, drop func() error) Idle {
	out := Idle{Owner: owner, Bytes: m.MemoryStats().Total, drop: drop}
	for _, c := range m.Info().Components {
		if c.Opened {
			out.Component, out.Device = c.Name, c.Device
		}
	}
	return out
}

// Close closes the model, unless it is in use, as the VAE in F32 always is.
func (i Idle) Close() error { return i.drop() }

// Stats tells what the open models hold. It does not wait for running calls.
func (s *Set) Stats() []backend.MemoryStats {
	var out []backend.MemoryStats
	for _, m := range s.Models() {
		out = append(out, m.MemoryStats())
	}
	return out
}

// Close closes all models. Nobody may use one any more.
func (s *Set) Close() error {
	s.Coder.Close()
	var errs []error
	if s.stays != nil {
		errs = append(errs, s.stays.Release())
	}
	errs = append(errs, s.vaes.Close(), s.nets.Close(), s.refined.Close())
	if s.TAESD != nil {
		errs = append(errs, s.TAESD.Close())
	}
	return errors.Join(append(errs, s.Base.Close())...)
}

// ReleaseCompute frees the compute buffers of the base and the TAESD. They are made again when they are needed.
func (s *Set) ReleaseCompute() error {
	errs := []error{s.Base.ReleaseCompute()}
	if s.TAESD != nil {
		errs = append(errs, s.TAESD.ReleaseCompute())
	}
	return errors.Join(errs...)
}
