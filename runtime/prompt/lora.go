package prompt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LoRATag is a <lora:name:weight> found in a prompt.
type LoRATag struct {
	Name       string
	Weight     float64 // for the UNet; 1 where none is given
	TextWeight float64 // for the text encoders
	Start, End int     // bytes of the tag in the prompt
}

// ExtractLoRA takes the tags out of a prompt, in A1111's forms: <lora:name>, <lora:name:0.8>,
// <lora:name:0.5:0.9> (text encoders, then UNet) and <lora:name:te=0.5:unet=0.9>; one number is for both; <lyco:...> means the
// same. It returns the remaining text, with the white space that a tag leaves behind reduced to what stood
// before it. Other text in angle brackets stays. A tag with a bad number is an error.
func ExtractLoRA(text string) (rest string, tags []LoRATag, err error) {
	if err := validate(text); err != nil {
		return "", nil, err
	}
	var out strings.Builder
	for at := 0; ; {
		open := strings.IndexByte(text[at:], '<')
		if open < 0 {
			out.WriteString(text[at:])
			return out.String(), tags, nil
		}
		open += at
		end := strings.IndexAny(text[open+1:], "<>")
		if end < 0 || text[open+1+end] == '<' {
			out.WriteString(text[at : open+1])
			at = open + 1
			continue
		}
		end += open + 2
		body := text[open+1 : end-1]
		kind, args, ok := strings.Cut(body, ":")
		if kind != "lora" && kind != "lyco" || !ok {
			out.WriteString(text[at:end])
			at = end
			continue
		}
		tag, err := loraTag(args, open)
		if err != nil {
			return "", nil, err
		}
		tag.Start, tag.End = open, end
		tags = append(tags, tag)
		out.WriteString(text[at:open])
		at = end
		if s := out.String(); s == "" || strings.ContainsAny(s[len(s)-1:], spaces) {
			at = len(text) - len(strings.TrimLeft(text[at:], spaces))
		}
	}
}

func loraTag(args string, offset int) (LoRATag, error) {
	parts := strings.Split(args, ":")
	t := LoRATag{Name: strings.TrimSpace(parts[0]), Weight: 1, TextWeight: 1}
	bad := func(format string, a ...any) error {
		return failure(ErrSyntax, offset, "<lora:%s>: %s", args, fmt.Sprintf(format, a...))
	}
	if t.Name == "" {
		return t, bad("the name is missing")
	}
	var text, unet *float64
	for i, p := range parts[1:] {
		key, num, named := strings.Cut(p, "=")
		if !named {
			num = p
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || math.IsNaN(v) || math.Abs(v) > maxWeight {
			return t, bad("%q is no weight", p)
		}
		switch {
		case named && strings.TrimSpace(key) == "te", !named && i == 0:
			text = &v
		case named && strings.TrimSpace(key) == "unet", !named && i == 1:
			unet = &v
		default:
			return t, bad("%q is not understood; write <lora:name:weight>", p)
		}
	}
	if text != nil { // as in A1111, the UNet follows the text encoders
		t.TextWeight, t.Weight = *text, *text
	}
	if unet != nil {
		t.Weight = *unet
	}
	return t, nil
}
