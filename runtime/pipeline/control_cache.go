package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// DefaultControlNetMemory is what ControlNets may hold where Config.ControlNetMemory is 0: three of SDXL's at F16.
const DefaultControlNetMemory = 8 << 30

// ErrControlMemory is matched by the error of a job whose ControlNets together need more than Config.ControlNetMemory.
var ErrControlMemory = errors.New("the ControlNets need more memory than they may have")

// controlNets opens ControlNets and keeps those that were used last, as long as their weights stay under a limit. It is safe
// for concurrent use.
type controlNets struct {
	backend backend.Backend
	config  Config
	base    backend.UNetInfo // that the nets must fit
	limit   int64            // bytes
	held    holding          // how their weights are held

	mu    sync.Mutex    // held while nets are opened and closed
	nets  []*controlNet // the one that was used last comes last
	bytes int64
}

// controlNet is an open net.
type controlNet struct {
	path  string
	model backend.Model
	info  backend.ModelInfo
	bytes int64
	users int
}

func newControlNets(b backend.Backend, cfg Config, base backend.UNetInfo, held holding) *controlNets {
	limit := cfg.ControlNetMemory
	if limit == 0 {
		limit = DefaultControlNetMemory
	}
	return &controlNets{backend: b, config: cfg, base: base, limit: limit, held: held}
}

// acquire returns the net of a file for one user, opened where it was not. Nets that nobody uses make room for it.
func (c *controlNets) acquire(ctx context.Context, path string) (*controlNet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.nets, func(n *controlNet) bool { return n.path == path }); i >= 0 {
		net := c.nets[i]
		net.users++
		c.nets = append(slices.Delete(c.nets, i, i+1), net)
		return net, nil
	}
	net, err := c.open(ctx, path)
	if err != nil {
		return nil, err
	}
	net.users = 1
	c.nets, c.bytes = append(c.nets, net), c.bytes+net.bytes
	if err := c.evict(); err != nil {
		return nil, err
	}
	if c.bytes > c.limit {
		needed := c.bytes
		net.users = 0
		return nil, errors.Join(fmt.Errorf("%w: %d MiB with %s, and controlnet_cache_mb allows %d; use fewer at once, or raise it", ErrControlMemory,
			needed>>20, filepath.Base(path), c.limit>>20), c.evict())
	}
	return net, nil
}

// evict closes nets that nobody uses, those that were used longest ago first, until the limit holds.
func (c *controlNets) evict() error {
	var err error
	for i := 0; i < len(c.nets) && c.bytes > c.limit; {
		net := c.nets[i]
		if net.users > 0 {
			i++
			continue
		}
		err = errors.Join(err, net.model.Close())
		c.nets, c.bytes = slices.Delete(c.nets, i, i+1), c.bytes-net.bytes
	}
	return err
}

// release gives a net back; it stays open as long as there is room.
func (c *controlNets) release(net *controlNet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	net.users--
	return c.evict()
}

// models lists the nets that are open.
func (c *controlNets) models() []backend.Model {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []backend.Model
	for _, net := range c.nets {
		out = append(out, net.model)
	}
	return out
}

// close closes all nets; nobody may use one any more.
func (c *controlNets) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for _, net := range c.nets {
		err = errors.Join(err, net.model.Close())
	}
	c.nets, c.bytes = nil, 0
	return err
}

func (c *controlNets) open(ctx context.Context, path string) (*controlNet, error) {
	cfg := controlModel(c.config, path)
	if !fileless(c.backend) {
		var err error
		if cfg, err = controlConfig(c.config, path); err != nil {
			return nil, err
		}
	}
	c.held.apply(&cfg)
	model, err := c.backend.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	net := &controlNet{path: path, model: model, info: model.Info()}
	for _, part := range net.info.Components {
		net.bytes += part.ParameterBytes
	}
	if err := c.fits(net.info); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), model.Close())
	}
	return net, nil
}

// controlModel is how a net is opened, but for what its file says.
func controlModel(c Config, path string) backend.ModelConfig {
	return backend.ModelConfig{Files: backend.Files{ControlNet: path}, Device: c.Device, Precision: c.Precision, Threads: c.Threads, FlashAttention: c.FlashAttention}
}

// controlConfig is how a net is opened, with what its file's header says.
func controlConfig(c Config, path string) (backend.ModelConfig, error) {
	cfg := controlModel(c, path)
	stated, err := modelfile.ReadConfig(path)
	cfg.Hyper.UNetNormNumGroups, cfg.Hyper.UNetAttentionHeadDim = stated.UNet.NormNumGroups, stated.UNet.HeadDim
	return cfg, err
}

// fits refuses nets whose residuals the base cannot take or that are told other things than the base.
func (c *controlNets) fits(info backend.ModelInfo) error {
	u := info.UNet
	switch {
	case info.Kind != backend.KindControlNet:
		return fmt.Errorf("%w: a model of kind %q is no ControlNet", ErrUnsupportedModel, info.Kind)
	case !slices.Equal(u.Channels, c.base.Channels) || !slices.Equal(u.Resnets, c.base.Resnets):
		return fmt.Errorf("%w: the ControlNet has levels of %v channels with %v resnets, the UNet of %v with %v: it is for another model",
			ErrUnsupportedModel, u.Channels, u.Resnets, c.base.Channels, c.base.Resnets)
	case u.InChannels != c.base.OutChannels || u.PooledDim != c.base.PooledDim || u.SizeIDs != c.base.SizeIDs ||
		u.ContextDim != 0 && u.ContextDim != c.base.ContextDim:
		return fmt.Errorf("%w: the ControlNet takes %d latent channels, texts of %d and %d values; the model has %d, %d and %d: it is for another model",
			ErrUnsupportedModel, u.InChannels, u.ContextDim, u.PooledDim, c.base.OutChannels, c.base.ContextDim, c.base.PooledDim)
	}
	return nil
}

// controlFile finds the weights of a ControlNet: a file, a diffusers folder of one, or a name in one of the folders (with all
// folders below them), with or without extension.
func controlFile(name string, directories []string) (string, error) {
	path := name
	if _, err := os.Stat(path); err != nil {
		if path = findControl(name, directories); path == "" {
			return "", fmt.Errorf("%s is no file, and no ControlNet of that name is in controlnet_directories %v", name, directories)
		}
	}
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return path, err
	}
	folder, err := modelfile.FolderFiles(path)
	if err != nil {
		return "", err
	}
	part, ok := folder.Component("controlnet")
	if !ok || len(part.Files) != 1 {
		return "", fmt.Errorf("%s is no folder of one ControlNet with its weights in one file; name the file", path)
	}
	return part.Files[0], nil
}

// findControl looks for a file, or a folder with a config.json, of that name; the first in lexical order counts.
func findControl(name string, directories []string) string {
	for _, dir := range directories {
		found := ""
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not found
			stem := strings.TrimSuffix(d.Name(), filepath.Ext(d.Name()))
			if err != nil || !strings.EqualFold(d.Name(), name) && (d.IsDir() || !strings.EqualFold(stem, name)) {
				return nil
			}
			if d.IsDir() && !modelfile.IsFolder(path) {
				return nil
			}
			found = path
			return fs.SkipAll
		})
		if found != "" {
			return found
		}
	}
	return ""
}
