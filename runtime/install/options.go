package install

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// DefaultURL is the address of all releases. Those of a version are in its folder: DefaultURL/v0.1.0.
const DefaultURL = "https://github.com/daguerre-go/daguerre/releases/download"

// EnvURL names the environment variable with another address of all releases.
const EnvURL = "DAGUERRE_INSTALL_URL"

// Version is the version of the libraries that this package fetches.
const Version = native.LibraryVersion

// VariantAuto as Options.Variant takes the best variant for this machine.
const VariantAuto = "auto"

// Options say what is wanted, and where from. The zero value is right for most programs.
type Options struct {
	// Variant is "cpu", "vulkan" or "cuda". "" and VariantAuto: any library that is there is enough. Where none is, drivers of GPUs are
	// looked for, and the best variant that has an archive is fetched.
	Variant string
	// Library is what pipeline.Config.Library will be, where a program names a library: nothing else is looked at then, nothing is fetched.
	Library string
	// From is an archive (file or URL), or the folder that it lies in (path or URL), with SHA256SUMS and SHA256SUMS.minisig. "": URL.
	From string
	// URL is the address of all releases; "": $DAGUERRE_INSTALL_URL, else DefaultURL. The archive is URL/vVERSION/NAME.
	URL string
	// PublicKey is the minisign public key of whoever made the archives; "": the project's.
	PublicKey string
	// SHA256 is the archive's sum, in hexadecimal, from a place that you trust. SHA256SUMS is not needed then.
	SHA256 string
	// NoVerify takes archives that nobody signed. Whoever can change them can run any code as you. A sum that is there is still compared.
	NoVerify bool
	// Force installs although a library is there.
	Force bool
	// Client makes the requests; nil: one with timeouts for answers that do not come, and the proxy of the environment.
	Client *http.Client
	// Progress, if not nil, is told how far the download and the unpacking are, ten times a second at most, from the caller's goroutine.
	Progress func(Progress)
	// Note, if not nil, is told what was found, what is chosen and why, one sentence at a time. Result has all of them, too.
	Note func(string)
}

// Progress is how far a stage is.
type Progress = download.Progress

// The stages of Progress.
const (
	StageDownload = download.StageDownload
	StageUnpack   = "unpack"
)

// Result is the library that is ready.
type Result struct {
	Library   string   `json:"library"` // its file, for pipeline.Config.Library
	Variant   string   `json:"variant"`
	Version   string   `json:"version"`
	Installed bool     `json:"installed"`          // by this call; false: it was there
	Archive   string   `json:"archive,omitempty"`  // where it was taken from
	SHA256    string   `json:"sha256,omitempty"`   // the archive's
	Verified  string   `json:"verified,omitempty"` // VerifiedSignature, VerifiedSum or VerifiedNot
	Files     []string `json:"files,omitempty"`    // that were put in place
	Notes     []string `json:"notes,omitempty"`    // what was chosen and why
	Warnings  []string `json:"warnings,omitempty"`
}

// How an archive was verified.
const (
	VerifiedSignature = "signature" // its sum is signed
	VerifiedSum       = "sha256"    // it has the sum of Options.SHA256
	VerifiedNot       = "not"       // Options.NoVerify
)

// check refuses options that cannot be meant. Errors match ErrOptions.
func (o Options) check() error {
	known := append([]string{"", VariantAuto}, native.Variants()...)
	if !slices.Contains(known, o.Variant) {
		return optionError("variant %q is unknown%s; the variants are %s", words.Clip(o.Variant), words.DidYouMean(o.Variant, known[1:]),
			strings.Join(known[1:], ", "))
	}
	if o.SHA256 != "" {
		if raw, err := hex.DecodeString(o.SHA256); err != nil || len(raw) != sumBytes {
			return optionError("sha256 %q is not a SHA-256 sum of %d hexadecimal digits", words.Clip(o.SHA256), 2*sumBytes)
		}
		if o.NoVerify {
			return optionError("sha256 and no-verify exclude each other: with the sum, the archive is verified")
		}
		if o.Variant == "" || o.Variant == VariantAuto {
			if o.From == "" {
				return optionError("sha256 is the sum of one archive; say which one: give the variant, or the archive as from")
			}
		}
	}
	if o.From != "" && o.URL != "" {
		return optionError("from and url exclude each other: from names the very place, url the address of all releases")
	}
	if _, err := o.key(); err != nil {
		return err
	}
	if o.From != "" && !isAddress(o.From) {
		return nil // a file or folder: it is needed only if no library is there
	}
	_, err := o.origin(nil)
	return err
}

// any tells whether any variant will do.
func (o Options) any() bool { return o.Variant == "" || o.Variant == VariantAuto }

// wanted is the variant for the loader: "" for any.
func (o Options) wanted() string {
	if o.any() {
		return ""
	}
	return o.Variant
}

// address is the address of all releases, and what gave it.
func (o Options) address() (option, address string) {
	if o.URL != "" {
		return "url", o.URL
	}
	return EnvURL, Address()
}

// Address is the address of all releases where Options.URL does not name one: $DAGUERRE_INSTALL_URL, or DefaultURL.
func Address() string { return cmp.Or(os.Getenv(EnvURL), DefaultURL) }

// key is the public key that signs SHA256SUMS.
func (o Options) key() (minisign.PublicKey, error) {
	text := o.PublicKey
	if text == "" {
		text = releaseKey
	}
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return key, optionError("the public key %q is no minisign key (a line of base64 that begins with RW): %v", words.Clip(text), err)
	}
	return key, nil
}

// archiveName is the name of a variant's archive.
func archiveName(variant string) string {
	return fmt.Sprintf("daguerre-%s-%s-%s-%s%s", Version, runtime.GOOS, runtime.GOARCH, variant, archiveSuffix(runtime.GOOS))
}

func archiveSuffix(system string) string {
	if system == "windows" {
		return ".zip"
	}
	return ".tar.gz"
}

// ArchiveNames lists the archives that might be fetched for this version and platform, best variant first.
func ArchiveNames() []string {
	var names []string
	for _, v := range native.Variants() {
		names = append(names, archiveName(v))
	}
	return names
}

// fits returns why an archive of that name is not for this program; "" for names that do not tell.
func fits(name string) (variant, problem string) {
	rest, ok := strings.CutPrefix(name, "daguerre-")
	for _, suffix := range []string{".tar.gz", ".tgz", ".zip"} {
		rest = strings.TrimSuffix(rest, suffix)
	}
	parts := strings.Split(rest, "-")
	if !ok || len(parts) < 4 {
		return "", ""
	}
	n := len(parts)
	version, platform, variant := strings.Join(parts[:n-3], "-"), parts[n-3]+"-"+parts[n-2], parts[n-1]
	if !slices.Contains(native.Variants(), variant) {
		return "", ""
	}
	here := runtime.GOOS + "-" + runtime.GOARCH
	switch {
	case version != Version:
		return variant, fmt.Sprintf("it is version %s, and this program needs %s", version, Version)
	case platform != here:
		return variant, fmt.Sprintf("it is for %s, and this is %s", platform, here)
	}
	return variant, ""
}
