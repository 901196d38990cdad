package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// Ensure makes sure that a libdaguerre of this version is there, and tells where. It returns at once if the loader would find one: the one
// that o.Library or DAGUERRE_LIBRARY names, or one of its usual places. Else it fetches one, checks it, and puts it into the user's data
// folder. It loads nothing for good: pipeline.Open does that.
//
// Errors match ErrOptions, ErrUnavailable, ErrDownload, ErrUnverified, ErrArchive or ErrWrite. If no library works on this machine, they
// match native.ErrNoLibrary. If ctx ends, the error is its own. What was downloaded stays, and the next call goes on from there.
func Ensure(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	dir, err := native.UserFolder()
	if err != nil {
		return Result{}, fmt.Errorf("there is no data folder for the library: %w", err)
	}
	in := &installation{o: o, dir: dir, host: thisHost(), limits: roomy, probe: native.Probe}
	return in.ensure(ctx)
}

// installation is one call of Ensure.
type installation struct {
	o      Options
	dir    string // the folder of this version's libraries
	host   host
	limits limits
	probe  func(native.Options) (native.Library, error)
	result Result

	stageTold string // of Options.Progress's last call
	told      time.Time
}

func (in *installation) ensure(ctx context.Context) (Result, error) {
	if !in.o.Force {
		if done, err := in.present(); done || err != nil {
			return in.result, err
		}
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return in.result, err
	}
	defer unlock()
	if !in.o.Force { // another process may have installed meanwhile
		if done, err := in.present(); done || err != nil {
			return in.result, err
		}
	}
	if err := in.fetch(ctx); err != nil {
		return in.result, err
	}
	in.lookBack()
	return in.result, nil
}

func (in *installation) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if slices.Contains(in.result.Notes, text) {
		return
	}
	in.result.Notes = append(in.result.Notes, text)
	if in.o.Note != nil {
		in.o.Note(text)
	}
}

func (in *installation) warn(format string, args ...any) {
	in.result.Warnings = append(in.result.Warnings, fmt.Sprintf(format, args...))
}

// progressEvery is how often Options.Progress is called within a stage. The end of a stage is always told.
const progressEvery = 100 * time.Millisecond

func (in *installation) progress(p Progress) {
	if in.o.Progress == nil || p.Stage == in.stageTold && time.Since(in.told) < progressEvery && p.Done != p.Total {
		return
	}
	in.stageTold, in.told = p.Stage, time.Now()
	in.o.Progress(p)
}

// named is what names the one library that the loader tries; "" for nothing.
func (in *installation) named() string {
	switch {
	case in.o.Library != "":
		return "Library"
	case os.Getenv(native.EnvLibrary) != "":
		return native.EnvLibrary
	}
	return ""
}

// present looks for a library that is there.
func (in *installation) present() (bool, error) {
	lib, err := in.probe(native.Options{LibraryPath: in.o.Library, Variant: in.o.wanted()})
	named := in.named()
	switch {
	case err != nil && named != "":
		return false, fmt.Errorf("%s names a library that does not work, and nothing else would be looked at; "+
			"take that name away to have one installed: %w", named, err)
	case err != nil:
		return false, nil
	case lib.Version != Version && named == "":
		in.note("%s is version %s; version %s is needed", lib.Path, lib.Version, Version)
		return false, nil
	case lib.Version != Version:
		in.warn("%s is version %s, and version %s is expected; %s names it, so it is used", lib.Path, lib.Version, Version, named)
	}
	in.result.Library, in.result.Variant, in.result.Version = lib.Path, lib.Variant, lib.Version
	in.note("%s is there: variant %s, version %s", lib.Path, lib.Variant, lib.Version)
	if better := in.host.choices()[0]; in.o.any() && lib.Variant == "cpu" && better.variant != "cpu" {
		in.note("%s, and this library computes on the CPU; the variant %s is for that", better.why, better.variant)
	}
	return true, nil
}

// fetch gets an archive and puts its library in place.
func (in *installation) fetch(ctx context.Context) error {
	from, err := in.o.origin(func(text string) { in.note("%s", text) })
	if err != nil {
		return err
	}
	if in.o.NoVerify {
		in.warn("nobody's signature was looked at, as you asked: whoever can change this archive can run any code as you")
	}
	known, err := in.o.trusted(ctx, from)
	if err != nil {
		return err
	}
	list, err := in.candidates(from, known)
	if err != nil {
		return err
	}
	var failures []error
	for _, c := range list {
		err := in.take(ctx, from, known, c)
		if err == nil {
			return nil
		}
		// Another variant may be there, or may work; nothing else is mended by it.
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, native.ErrNoLibrary) || ctx.Err() != nil {
			return err
		}
		failures = append(failures, err)
		if len(list) > 1 {
			in.note("variant %s cannot be taken: %v", c.variant, err)
		}
	}
	if len(failures) == 1 {
		return failures[0]
	}
	return fmt.Errorf("no variant can be taken: %w", errors.Join(failures...))
}

// candidate is an archive to take.
type candidate struct {
	choice
	name string
}

// candidates lists the archives to try, best first.
func (in *installation) candidates(from origin, known trust) ([]candidate, error) {
	if name := from.only(); name != "" {
		variant, problem := fits(name)
		if problem == "" && variant != "" && !in.o.any() && variant != in.o.Variant {
			problem = fmt.Sprintf("it is the variant %s, and %s was asked for", variant, in.o.Variant)
		}
		if problem != "" {
			return nil, failed(ErrUnavailable, "%s is not for this program: %s", from.place(name), problem)
		}
		return []candidate{{choice{variant, "it was named"}, name}}, nil
	}
	list := in.host.choices()
	if !in.o.any() {
		list = []choice{{in.o.Variant, "it was asked for"}}
	}
	var found []candidate
	for _, c := range list {
		name := archiveName(c.variant)
		if known.sums != nil && known.sums[name] == "" {
			if !in.o.any() {
				break // the error says it
			}
			in.note("%s, but there is no archive for that: %s has no %s", c.why, from.place(sumsName), name)
			continue
		}
		found = append(found, candidate{c, name})
	}
	if len(found) == 0 {
		return nil, failed(ErrUnavailable, "there is no archive of version %s for %s-%s%s: %s lists %s", Version, runtime.GOOS, runtime.GOARCH,
			variantWords(in.o), from.place(sumsName), known.list())
	}
	return found, nil
}

func variantWords(o Options) string {
	if o.any() {
		return ""
	}
	return " of the variant " + o.Variant
}

// list names the archives that are there.
func (t trust) list() string {
	var names []string
	for name := range t.sums {
		if isArchiveName(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no archives"
	}
	slices.Sort(names)
	if len(names) > 12 {
		names = append(names[:12], "...")
	}
	return strings.Join(names, ", ")
}

// take fetches one archive, verifies it, and puts its library in place.
func (in *installation) take(ctx context.Context, from origin, known trust, c candidate) error {
	if c.variant != "" {
		in.note("taking the variant %s: %s", c.variant, c.why)
	}
	in.note("taking %s", from.place(c.name))
	archive, sum, err := in.verified(ctx, from, known, c.name)
	if err != nil {
		return err
	}
	err = in.install(ctx, from.place(c.name), archive, c.variant)
	if ctx.Err() == nil && !errors.Is(err, ErrWrite) { // else the next call needs not fetch it again
		from.forget()
		_ = os.Remove(in.partsDir()) // parts of others may lie there
	}
	if err != nil {
		return err
	}
	in.result.SHA256, in.result.Verified = sum, known.how
	return nil
}

// install takes the library out of an archive, tries it, and puts it in place. place is the archive's name for people.
func (in *installation) install(ctx context.Context, place, archive, variant string) error {
	staged, err := in.stage(ctx, archive)
	if errors.Is(err, ErrArchive) {
		return fmt.Errorf("%s: %w", place, err)
	}
	if err != nil {
		return err
	}
	defer staged.remove()
	lib, err := in.probe(native.Options{LibraryPath: staged.dir, Variant: cmp.Or(variant, in.o.wanted())})
	if err != nil {
		return failed(native.ErrNoLibrary, "the library of %s does not work on this machine, and was not installed:%s", place, outcomes(err))
	}
	if lib.Version != Version {
		return failed(ErrArchive, "%s holds a library of version %s, and version %s is needed", place, lib.Version, Version)
	}
	files, err := in.place(staged)
	if err != nil {
		return err
	}
	in.result = Result{Library: filepath.Join(in.dir, filepath.Base(lib.Path)), Variant: lib.Variant, Version: lib.Version, Installed: true,
		Archive: place, Files: files, Notes: in.result.Notes, Warnings: in.result.Warnings}
	in.note("installed %s: variant %s, version %s", in.result.Library, lib.Variant, lib.Version)
	return nil
}

// outcomes are the reasons why no library works, without the loader's remedies.
func outcomes(err error) string {
	var b strings.Builder
	if load, ok := errors.AsType[*native.LoadError](err); ok {
		for _, a := range load.Attempts {
			if _, err := os.Stat(a.Path); err == nil {
				fmt.Fprintf(&b, "\n  %s: %s", filepath.Base(a.Path), a.Outcome)
			}
		}
	}
	if b.Len() == 0 {
		return " " + err.Error()
	}
	return b.String()
}

// verified makes an archive a local file with the right sum. A download that was put together from pieces is fetched once more as a whole
// where its sum is wrong.
func (in *installation) verified(ctx context.Context, from origin, known trust, name string) (archive, sum string, err error) {
	if known.how != VerifiedNot && known.sum(name) == "" {
		return "", "", failed(ErrUnverified, "%s has no line for %s; an archive that was renamed must have its name back, or give its sum "+
			"(sha256) if you know it", from.place(sumsName), name)
	}
	for range 2 {
		if archive, err = from.archive(ctx, name, in.partsDir(), in.progress); err != nil {
			return "", "", err
		}
		if sum, err = known.compare(ctx, name, archive); !errors.Is(err, ErrUnverified) || !from.forget() {
			break
		}
		in.note("%s was fetched in pieces that do not belong together; it is fetched once more", name)
	}
	return archive, sum, err
}

// lookBack warns where the loader will find another library before the new one.
func (in *installation) lookBack() {
	if named := in.named(); named != "" {
		in.warn("programs go on loading what %s names, instead of the library that was installed", named)
		return
	}
	lib, err := in.probe(native.Options{Variant: in.o.wanted()})
	if err == nil && filepath.Dir(lib.Path) != in.dir {
		in.warn("%s is found before the library that was installed; remove it, or set %s=%s", lib.Path, native.EnvLibrary, in.result.Library)
	}
}
