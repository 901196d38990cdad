package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLintCommits runs tools/lint-commits.sh in repositories of its own: whole, with origin/main, and shallow.
func TestLintCommits(t *testing.T) {
	script, err := filepath.Abs("../lint-commits.sh")
	require.NoError(t, err)
	in := func(dir string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	git := func(dir string, args ...string) string {
		out, err := in(dir, append([]string{"git"}, args...)...)
		require.NoError(t, err, out)
		return out
	}
	repo := t.TempDir()
	git(repo, "init", "--quiet", "--initial-branch=main")
	commit := func(subject string) string {
		git(repo, "commit", "--quiet", "--allow-empty", "-m", subject+"\n\n"+strings.Repeat("a long body ", 20))
		return git(repo, "rev-parse", "HEAD")
	}
	base := commit(strings.Repeat("o", 100))
	commit(strings.Repeat("ä", 72))
	out, err := in(repo, script, base)
	require.NoError(t, err, out)

	commit(strings.Repeat("n", 73))
	out, err = in(repo, script, base)
	require.Error(t, err)
	assert.Contains(t, out, "73 characters")
	assert.Equal(t, 1, strings.Count(out, "lint-commits:"), "the base is not looked at")

	shallow := filepath.Join(t.TempDir(), "shallow")
	git(repo, "clone", "--quiet", "--depth=1", "--branch=main", "file://"+repo, shallow)
	git(shallow, "remote", "remove", "origin")
	out, err = in(shallow, script, base)
	require.Error(t, err, "without base and origin/main it looks at what there is")
	assert.Contains(t, out, "73 characters")

	whole := filepath.Join(t.TempDir(), "whole")
	git(repo, "clone", "--quiet", "file://"+repo, whole)
	out, err = in(whole, script, base)
	require.NoError(t, err, "all of it is in origin/main: %s", out)
	git(whole, "remote", "remove", "origin")
	out, err = in(whole, script, strings.Repeat("0", 40))
	require.Error(t, err)
	assert.Contains(t, out, "LINT_COMMITS_BASE")
}
