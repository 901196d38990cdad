package recall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
)

// pngWith is a small PNG file with texts.
func pngWith(t testing.TB, texts ...imagefile.Text) []byte {
	t.Helper()
	data, err := imagefile.Encode(image.NewNRGBA(image.Rect(0, 0, 2, 2)), imagefile.PNG, imagefile.EncodeOptions{Text: texts})
	require.NoError(t, err)
	return data
}

// keywordOf is the chunk that a shape is in.
func keywordOf(path string) string {
	switch {
	case strings.HasSuffix(path, ".txt"):
		return "parameters"
	case strings.HasSuffix(path, ".workflow.json"):
		return "workflow"
	}
	return "prompt"
}

// describe writes everything that was found in a picture.
func describe(t testing.TB, f *Found) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "written by %s\n\n", f.Program)
	text, err := f.Run.EncodeTOML()
	require.NoError(t, err)
	out.Write(text)
	out.WriteString("\n")
	for _, p := range f.parts {
		fmt.Fprintf(&out, "file %s: %s", p.key, p.name)
		for _, more := range []string{p.file, strings.Join(p.sums, " "), p.hub} {
			if more != "" {
				out.WriteString(", " + more)
			}
		}
		out.WriteString("\n")
	}
	for _, list := range []struct {
		what  string
		lines []string
	}{{"needs", f.Needs()}, {"note", f.Notes}, {"warning", f.Differs}} {
		for _, line := range list.lines {
			fmt.Fprintf(&out, "%s: %s\n", list.what, line)
		}
	}
	return out.String()
}

// shapes are the texts of other programs in testdata.
func shapes(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"*.txt", "*.json"} {
		found, err := filepath.Glob(filepath.Join("testdata", "shapes", pattern))
		require.NoError(t, err)
		list = append(list, found...)
	}
	return list
}

// TestShapes: the texts of A1111 and ComfyUI in 20 shapes are read as the .golden files say. DAGUERRE_UPDATE_GOLDENS=1 writes them.
func TestShapes(t *testing.T) {
	list := shapes(t)
	require.GreaterOrEqual(t, len(list), 20)
	for _, path := range list {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			found, err := Read(pngWith(t, imagefile.Text{Keyword: keywordOf(path), Value: string(text)}))
			require.NoError(t, err)
			got := describe(t, found)
			golden := path + ".golden"
			if os.Getenv("DAGUERRE_UPDATE_GOLDENS") != "" {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

// TestEveryFieldIsUsedOrNamed gives each field of the shapes another value. What is found must change: it was used, or a note named it.
func TestEveryFieldIsUsedOrNamed(t *testing.T) {
	for _, path := range shapes(t) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		whole := ""
		if found, err := Read(pngWith(t, imagefile.Text{Keyword: keywordOf(path), Value: string(text)})); assert.NoError(t, err) {
			whole = describe(t, found)
		}
		fields := 0
		for name, less := range changed(t, path, string(text)) {
			fields++
			found, err := Read(pngWith(t, imagefile.Text{Keyword: keywordOf(path), Value: less}))
			if err == nil {
				assert.NotEqual(t, whole, describe(t, found), "%s: %s is neither used nor named", path, name)
			}
		}
		assert.Greater(t, fields, 4, path)
	}
}

// changed are a text with each of its fields changed, by their names.
func changed(t testing.TB, path, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if keywordOf(path) == "parameters" {
		at := strings.LastIndexByte(text, '\n')
		pairs := pairsOf(text[at+1:])
		for i, p := range pairs {
			var rest []string
			for k, q := range pairs {
				value := q.value
				isJSON := strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{")
				if k == i && isJSON {
					value = strings.Replace(value, "1", "2", 1)
				} else if k == i {
					value = otherText(value)
				}
				if strings.ContainsAny(value, ",:") && !isJSON {
					quoted, err := json.Marshal(value)
					require.NoError(t, err)
					value = string(quoted)
				}
				rest = append(rest, q.name+": "+value)
			}
			out[fmt.Sprint(i, " ", p.name)] = text[:at+1] + strings.Join(rest, ", ")
		}
		return out
	}
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	again := func(name string) {
		data, err := json.Marshal(doc)
		require.NoError(t, err)
		out[name] = string(data)
	}
	if nodes, ok := doc["nodes"].([]any); ok {
		for _, n := range nodes {
			node := n.(map[string]any)
			values, _ := node["widgets_values"].([]any)
			for i, v := range values {
				if v == "randomize" || v == "image" { // of the page alone
					continue
				}
				values[i] = other(v)
				again(fmt.Sprint(node["type"], " ", i))
				values[i] = v
			}
		}
		return out
	}
	for id, n := range doc {
		inputs := n.(map[string]any)["inputs"].(map[string]any)
		for key, v := range inputs {
			if _, link := v.([]any); link {
				continue
			}
			inputs[key] = other(v)
			again(id + " " + key)
			inputs[key] = v
		}
	}
	return out
}

// other is another value of the same kind.
func other(v any) any {
	switch v := v.(type) {
	case float64:
		return v*3 + 1
	case string:
		return "other-" + v
	}
	return v
}

// otherText is another number or text.
func otherText(v string) string {
	if wh := size.FindStringSubmatch(v); wh != nil {
		return wh[1] + "8x" + wh[2]
	}
	if x, err := strconv.ParseFloat(v, 64); err == nil {
		return fmt.Sprint(x / 2)
	}
	return "other " + v
}

// FuzzRead: no text makes Read panic or hang.
func FuzzRead(f *testing.F) {
	for _, path := range shapes(f) {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(keywordOf(path), string(text))
	}
	f.Add("daguerre", `{"manifest_version":1,"prompt":"x","scheduler":{"name":"EulerDiscreteScheduler"},"loras":[{}],"controlnets":[3]}`)
	f.Fuzz(func(t *testing.T, keyword, text string) {
		if bytes.ContainsRune([]byte(text), 0) || !slices.Contains([]string{"daguerre", "parameters", "prompt", "workflow"}, keyword) {
			t.Skip()
		}
		data, err := imagefile.Encode(image.NewNRGBA(image.Rect(0, 0, 1, 1)), imagefile.PNG, imagefile.EncodeOptions{
			Text: []imagefile.Text{{Keyword: keyword, Value: text}}})
		if err != nil {
			t.Skip()
		}
		_, _ = Read(data) // it must end
	})
}
