package command

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/install"
)

// installing runs install with a stand-in for install.Ensure, and returns what that was asked for.
func installing(b *bench, result install.Result, err error, args ...string) (asked install.Options, code int) {
	b.install = func(_ context.Context, o install.Options) (install.Result, error) {
		asked = o
		o.Note("taking the variant cpu: it was asked for")
		o.Progress(install.Progress{Stage: install.StageDownload, Done: 1 << 20, Total: 2 << 20})
		return result, err
	}
	code = b.run(append([]string{"install"}, args...)...)
	return asked, code
}

func TestInstallFlags(t *testing.T) {
	for args, want := range map[string]install.Options{
		"":                                 {Variant: "auto"},
		"--variant vulkan --force":         {Variant: "vulkan", Force: true},
		"--from x.tar.gz --no-verify":      {Variant: "auto", From: "x.tar.gz", NoVerify: true},
		"--from x.tar.gz --sha256 ab":      {Variant: "auto", From: "x.tar.gz", SHA256: "ab"},
		"--url https://x --public-key RWx": {Variant: "auto", URL: "https://x", PublicKey: "RWx"},
	} {
		asked, code := installing(newBench(t), install.Result{Library: "lib.so"}, nil, strings.Fields(args)...)
		assert.Equal(t, ExitOK, code, args)
		asked.Note, asked.Progress = nil, nil
		assert.Equal(t, want, asked, args)
	}
}

func TestInstallShows(t *testing.T) {
	result := install.Result{Library: "/data/lib.so", Variant: "cpu", Warnings: []string{"nobody's signature was looked at"}}
	b := newBench(t)
	_, code := installing(b, result, nil)
	assert.Equal(t, ExitOK, code)
	assert.True(t, strings.HasPrefix(b.stdout, "/data/lib.so  "), b.stdout)
	assert.Contains(t, b.stderr, "taking the variant cpu: it was asked for\n")
	assert.Contains(t, b.stderr, "warning: nobody's signature was looked at\n")

	_, code = installing(b, result, nil, "--json")
	assert.Equal(t, ExitOK, code)
	var events []string
	for line := range strings.Lines(b.stdout) {
		var e struct {
			Event, Stage string
			Result       install.Result
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		events = append(events, e.Event)
		if e.Event == "result" {
			assert.Equal(t, result, e.Result)
		}
	}
	assert.Equal(t, []string{"start", "note", "progress", "warning", "result", "done"}, events)
}

// TestInstallExitCodes maps what package install fails with.
func TestInstallExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{install.ErrOptions, ExitUsage}, {install.ErrUnavailable, ExitFile}, {install.ErrUnverified, ExitFile}, {install.ErrArchive, ExitFile},
		{install.ErrDownload, ExitFailure}, {install.ErrWrite, ExitFailure}, {errors.Join(install.ErrWrite, fs.ErrPermission), ExitFailure},
		{native.ErrNoLibrary, ExitNative}, {context.Canceled, ExitCancelled}, {fs.ErrPermission, ExitFile},
	} {
		b := newBench(t)
		_, code := installing(b, install.Result{}, c.err)
		assert.Equal(t, c.code, code, c.err)
		assert.Empty(t, b.stdout)
		if c.code != ExitCancelled {
			assert.Contains(t, b.stderr, "daguerre: install: ")
		}
	}
}
