package phrases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
	require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	return p
}

func TestWildcards(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	write(t, one, "colour.txt", "\ufeff# warm\nred\r\n\n  blue \n")
	write(t, one, "animals/dog.txt", "spaniel\n")
	write(t, one, "animals/cat.txt", "tabby\n2::siamese")
	write(t, one, "empty.txt", "# nothing\n")
	write(t, two, "colour.txt", "green\n")
	write(t, two, "tree.txt", "oak\n")
	write(t, two, "list.yaml", "a: b\n")
	w := NewWildcards(one, two)
	for name, want := range map[string][]string{"colour": {"red", "blue"}, "animals/dog": {"spaniel"}, "tree": {"oak"},
		"animals/*": {"tabby", "2::siamese", "spaniel"}} {
		got, err := w.Lines(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}
	assert.Len(t, w.Files(), 4)
	for name, says := range map[string]string{"color": "did you mean \"colour\"?", "empty": "has no lines", "list": "no file list.txt",
		"../colour": "there is no wildcard ../colour", "/etc/hosts": "there is no wildcard", "birds/*": "there is no wildcard"} {
		_, err := w.Lines(name)
		require.ErrorContains(t, err, says, name)
	}
	_, err := NewWildcards().Lines("x")
	require.ErrorContains(t, err, "no folder of wildcards is given")
	_, err = NewWildcards(filepath.Join(one, "none")).Lines("x")
	require.ErrorContains(t, err, "none: no such file or directory")
	secret := write(t, two, "secret", "s")
	require.NoError(t, os.Symlink(secret, filepath.Join(one, "link.txt")))
	_, err = NewWildcards(one).Lines("link")
	require.ErrorContains(t, err, "there is no wildcard link", "a link may lead out of the folder")
}

func TestStyles(t *testing.T) {
	dir := t.TempDir()
	p := write(t, dir, "styles.csv", "\ufeffname,prompt,negative_prompt\nink,\"ink, {prompt}, brush\",colour\n\"warm, soft\",warm light,\n"+
		"ink,"+
		"\"ink, {prompt}\",\"photo, {prompt}\"\n,,\n")
	s, err := ReadStyles(p)
	require.NoError(t, err)
	for _, c := range []struct {
		names  []string
		of     [2]string
		wanted [2]string
	}{
		{nil, [2]string{"a cat", ""}, [2]string{"a cat", ""}},
		{[]string{"ink"}, [2]string{"a cat", "dog"}, [2]string{"ink, a cat", "photo, dog"}},
		{[]string{"warm, soft"}, [2]string{"a cat ", "dog"}, [2]string{"a cat, warm light", "dog"}},
		{[]string{"warm, soft", "ink"}, [2]string{" ", ""}, [2]string{"ink, warm light", "photo, "}},
	} {
		prompt, negative, err := s.Apply(c.names, c.of[0], c.of[1])
		require.NoError(t, err)
		assert.Equal(t, c.wanted, [2]string{prompt, negative}, c.names)
	}
	_, _, err = s.Apply([]string{"inc"}, "x", "")
	require.ErrorContains(t, err, `there is no style "inc"; did you mean "ink"?`)
	_, _, err = (&Styles{}).Apply([]string{"ink"}, "x", "")
	require.ErrorContains(t, err, "no styles file is given")
	_, err = ReadStyles(write(t, dir, "other.csv", "a,b\n1,2\n"))
	require.ErrorContains(t, err, "no styles file of A1111's form")
	_, err = ReadStyles(write(t, dir, "bad.csv", "name,prompt\n\"a,b\n"))
	require.ErrorContains(t, err, "bad.csv")
	_, err = ReadStyles(filepath.Join(dir, "none.csv"))
	require.ErrorContains(t, err, "none.csv")
	_, err = Lines(write(t, dir, "long.txt", strings.Repeat("x", maxBytes+1)))
	require.ErrorContains(t, err, "at most 16 MiB")
}
