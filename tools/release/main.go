// Command release makes one archive of a release: the program, its libraries, licences, manual pages, completions and a list of parts
// (SBOM), laid out as tools/install.sh lays them out below a PREFIX. The same files give the same bytes on every machine.
//
//	go run ./tools/release -target linux-amd64 -variant cpu -version 0.1.0 -program bin/linux-amd64/daguerre -host bin/daguerre \
//	    -engine build/engine -zig build/tools/zig-0.17.1 -time 1790000000 -out build/release LIBRARY...
//	go run ./tools/release -sums -out build/release
//
// tools/release.sh calls it for each target.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/tools/internal/archive"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// plan is what goes into an archive.
type plan struct {
	target, variant, version string
	program, host            string // the program, and the same one for this machine
	engine, zig              string // folders: the engine's sources, the compiler
	out                      string
	at                       time.Time // of every file
	libraries                []string
}

// limit is the largest archive that is let through.
const limit = 45 << 20

func main() {
	var p plan
	flag.StringVar(&p.target, "target", "", "system and CPU as Go calls them: linux-amd64")
	flag.StringVar(&p.variant, "variant", "cpu", "cpu, vulkan or cuda")
	flag.StringVar(&p.version, "version", "", "the release's version")
	flag.StringVar(&p.program, "program", "", "the program")
	flag.StringVar(&p.host, "host", "bin/daguerre", "the same program for this machine, which writes the manual pages")
	flag.StringVar(&p.engine, "engine", "build/engine", "the engine's sources, for their licences and versions")
	flag.StringVar(&p.zig, "zig", "", "folder of the compiler, for the licences of what it links in")
	flag.StringVar(&p.out, "out", "build/release", "where archives go")
	epoch := flag.Int64("time", 0, "seconds since 1970: the time of every file")
	sums := flag.Bool("sums", false, "write SHA256SUMS of the archives in -out, and nothing else")
	flag.Parse()
	p.libraries, p.at = flag.Args(), time.Unix(*epoch, 0).UTC()
	if *sums {
		tool.Exit("release", writeSums(p.out))
	}
	tool.Exit("release", p.run())
}

// name is that of the archive without its extension, and of the one folder in it.
func (p plan) name() string {
	return "daguerre-" + p.version + "-" + p.target + "-" + p.variant
}

func (p plan) run() error {
	if len(p.libraries) == 0 || p.version == "" || p.target == "" {
		return errors.New("a target, a version and the libraries are needed")
	}
	for _, library := range p.libraries {
		if err := checkRunPath(library); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp("", "daguerre-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	parts, err := p.parts()
	if err != nil {
		return err
	}
	extra := filepath.Join(work, "extra")
	for _, part := range parts {
		if err := part.copyLicences(filepath.Join(extra, "share", "licenses", "daguerre")); err != nil {
			return err
		}
	}
	bom, err := p.bom(parts)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(extra, "share", "daguerre", "sbom.cdx.json"), bom); err != nil {
		return err
	}
	staged := filepath.Join(work, p.name())
	if err := p.stage(staged, extra); err != nil {
		return err
	}
	file := filepath.Join(p.out, p.name()+".tar.gz")
	if strings.HasPrefix(p.target, "windows-") {
		file = filepath.Join(p.out, p.name()+".zip")
	}
	if err := archive.Pack(file, staged, p.at); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > limit {
		return fmt.Errorf("%s has %d bytes, more than %d", file, info.Size(), limit)
	}
	fmt.Printf("%s  %.1f MB\n", file, float64(info.Size())/1e6)
	return nil
}

// stage lays the files out below a folder.
func (p plan) stage(folder, extra string) error {
	cmd := exec.Command("tools/install.sh", "install")
	cmd.Env = append(os.Environ(), "DESTDIR="+folder, "PREFIX=/", "PROGRAM="+p.program, "HOST_PROGRAM="+p.host,
		"LIBRARIES="+strings.Join(p.libraries, "\n"), "EXTRA="+extra)
	_, err := tool.Output(cmd)
	return err
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
