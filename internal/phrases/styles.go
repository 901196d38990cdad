package phrases

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Style is a named addition to prompts, as A1111's styles.csv has them.
type Style struct{ Name, Prompt, Negative string }

// Styles are the styles of some files.
type Styles struct {
	files []string
	list  []Style
}

// open opens a regular file.
func open(p string) (*os.File, error) {
	f, _, err := regular.Open(p)
	return f, err
}

// ReadStyles reads files in the form of A1111's styles.csv: the columns name, prompt and negative_prompt. Of styles of one name the last
// counts, as there.
func ReadStyles(files ...string) (*Styles, error) {
	s := &Styles{files: files}
	for _, p := range files {
		data, err := readFile(p)
		if err != nil {
			return nil, err
		}
		rows := csv.NewReader(bytes.NewReader(words.WithoutBOM(data)))
		rows.FieldsPerRecord = -1
		records, err := rows.ReadAll()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if len(records) == 0 || len(records[0]) < 2 || records[0][0] != "name" || records[0][1] != "prompt" && records[0][1] != "text" {
			return nil, fmt.Errorf("%s: its first line is not name,prompt,negative_prompt; this is no styles file of A1111's form", p)
		}
		for _, r := range records[1:] {
			style := Style{Name: strings.TrimSpace(r[0])}
			if len(r) > 1 {
				style.Prompt = r[1]
			}
			if len(r) > 2 {
				style.Negative = r[2]
			}
			if style.Name == "" {
				continue
			}
			s.list = slices.DeleteFunc(s.list, func(have Style) bool { return have.Name == style.Name })
			s.list = append(s.list, style)
		}
	}
	return s, nil
}

// List lists the styles, in the order of their files. Of several with one name it has the last.
func (s *Styles) List() []Style { return slices.Clone(s.list) }

// Apply adds styles to a prompt and a negative prompt, in their order. Where a style has {prompt}, the prompt takes its place. Otherwise
// the style is added behind a comma.
func (s *Styles) Apply(names []string, prompt, negative string) (string, string, error) {
	for _, name := range names {
		i := slices.IndexFunc(s.list, func(have Style) bool { return have.Name == name })
		if i < 0 {
			if len(s.files) == 0 {
				return "", "", errors.New("no styles file is given; name one as style_files in [model] (--style-file)")
			}
			known := make([]string, len(s.list))
			for k, have := range s.list {
				known[k] = have.Name
			}
			return "", "", fmt.Errorf("there is no style %q%s in %s", name, words.DidYouMean(name, known), strings.Join(s.files, ", "))
		}
		prompt, negative = merge(s.list[i].Prompt, prompt), merge(s.list[i].Negative, negative)
	}
	return prompt, negative, nil
}

// merge adds a style's text to a prompt.
func merge(style, prompt string) string {
	if strings.Contains(style, "{prompt}") {
		return strings.ReplaceAll(style, "{prompt}", prompt)
	}
	parts := slices.DeleteFunc([]string{strings.TrimSpace(prompt), strings.TrimSpace(style)}, func(s string) bool { return s == "" })
	return strings.Join(parts, ", ")
}
