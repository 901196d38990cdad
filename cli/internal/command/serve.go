package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/a1111"
	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/openai"
	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/webpage"
	"github.com/daguerre-go/daguerre/internal/durable"
)

// faces are the APIs and pages that serve offers beside its own API.
var faces = []face.Face{openai.Face(), a1111.Face(), webpage.Face()}

// serveOptions is what the serve command is asked to do.
type serveOptions struct {
	siteOptions
	addr, listen       string
	apiOnly            bool
	tokens, cert, key  string
	insecure           bool
	origins            []string
	maxBody            int
	connections, limit int
	json               bool
}

func serveOptionsOf(c *cli.Context) (serveOptions, error) {
	common, err := siteOptionsOf(c)
	o := serveOptions{siteOptions: common, addr: c.String("addr"), listen: c.String("nats-listen"), apiOnly: c.Bool("api-only"),
		tokens: c.String("token-file"), cert: c.String("tls-cert"), key: c.String("tls-key"), insecure: c.Bool("insecure"),
		origins: c.StringSlice("allow-origin"), maxBody: c.Int("max-body"), connections: c.Int("connections"), limit: c.Int("queue"),
		json: c.Bool("json")}
	o.queue.Listen, o.queue.Keep = o.listen, c.Duration("keep")
	for _, flag := range workerFlags {
		if err == nil && o.apiOnly && c.IsSet(flag) {
			err = usagef(c.Command.HelpName, "--%s is of a worker, and with --api-only this server is none; give it to daguerre work", flag)
		}
	}
	return o, cmp.Or(err, o.check(c.Command.HelpName), inRange(c, "max-body", o.maxBody, 1, 1<<12),
		inRange(c, "connections", o.connections, 8, 1<<20), inRange(c, "queue", o.limit, 1, 1<<24),
		inRange(c, "replicas", o.queue.Replicas, 0, 5))
}

// workerFlags are the flags of what computes.
var workerFlags = []string{"model", "model-dir", "lora-dir", "controlnet-dir", "ip-adapter-dir", "embedding-dir", "vae-dir", "refiner-dir",
	"upscaler-dir", "detector-dir", "wildcard-dir", "style-file", "open-models"}

// check finds flags that do not go together.
func (o serveOptions) check(path string) error {
	host, _, err := net.SplitHostPort(o.addr)
	switch {
	case err != nil:
		return usagef(path, "--addr %s: %v; write for example 127.0.0.1:7860", o.addr, err)
	case o.queue.Keep < time.Second:
		return usagef(path, "--keep %s: runs that have ended are kept for a second at least", o.queue.Keep)
	case o.tokens != "" && o.insecure:
		return usagef(path, "--token-file and --insecure exclude each other; with tokens the server is not open")
	case o.tokens == "" && !o.insecure && !loopback(host):
		return usagef(path, "--addr %s can be reached from other machines, and everybody there could use it; give --token-file "+
			"(docs/serving.md), or --insecure if the network is trusted", o.addr)
	case (o.cert == "") != (o.key == ""):
		return usagef(path, "--tls-cert and --tls-key go together; one of them is missing")
	case o.queue.URL != "" && o.listen != "":
		return usagef(path, "--nats-listen is of the embedded server, and --nats names others")
	case o.apiOnly && (o.queue.URL == "" || o.store == ""):
		return usagef(path, "--api-only needs the --nats and the --store of the workers (docs/fleet.md)")
	case o.queue.Keep < time.Minute:
		return usagef(path, "--keep is %s; it must be a minute or more", o.queue.Keep)
	}
	if o.listen != "" {
		if host, _, err := net.SplitHostPort(o.listen); err != nil || !loopback(host) {
			return usagef(path, "--nats-listen %s: it must be an address of this machine only, such as 127.0.0.1:4222: the embedded server "+
				"asks for no password", o.listen)
		}
	}
	for _, origin := range o.origins {
		if err := serve.CheckOrigin(origin); err != nil {
			return usagef(path, "--allow-origin: %v", err)
		}
	}
	return nil
}

// loopback reports whether only this machine can reach a host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// dataDir is the folder of the server's files where none is given.
func (env Env) dataDir() (string, error) {
	if env.ConfigDir == nil {
		return "", errors.New("there is no configuration folder; give --data")
	}
	dir, err := env.ConfigDir()
	return filepath.Join(dir, name, "serve"), err
}

// workerName is a name that no other worker has.
func workerName() string {
	host, _ := os.Hostname() // a name without one is as good
	return strings.ToLower(host) + "." + durable.NewID()
}

func (o serveOptions) execute(ctx context.Context, env Env) error {
	var certificate *tls.Config
	if o.cert != "" {
		certificate = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	s := &server{serveOptions: o, site: newSite(o.siteOptions, env), tls: certificate}
	err := s.open(ctx)
	if err == nil {
		err = s.run(ctx)
	}
	return errors.Join(err, s.close())
}
