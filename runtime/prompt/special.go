package prompt

import "strings"

// specials are the special tokens of SDXL's own tokenizers, as a plain text may write them. In the second's configuration the token that
// fills rows is "!".
var specials = [2][]struct {
	text string
	id   int32
}{
	{{"<|startoftext|>", bos}, {"<|endoftext|>", eos}},
	{{"<|startoftext|>", bos}, {"<|endoftext|>", eos}, {"!", 0}},
}

// ids are the token ids of a text for an encoder. In a plain text, special tokens are found first, exactly as they are written. Then the
// rest is brought into normal form.
func (r *Reader) ids(text string, encoder int) (out []int32, err error) {
	if !r.opt.Plain {
		return r.opt.Tokenize(text)
	}
	for text != "" {
		at, length, id := nextSpecial(text, encoder)
		if at > 0 {
			ids, err := r.opt.Tokenize(text[:at])
			if err != nil {
				return nil, err
			}
			out = append(out, ids...)
		}
		if length > 0 {
			out = append(out, id)
		}
		text = text[at+length:]
	}
	return out, nil
}

// nextSpecial finds the first special token of a text. If there is none, at is the text's end.
func nextSpecial(text string, encoder int) (at, length int, id int32) {
	at = len(text)
	for _, s := range specials[encoder] {
		if i := strings.Index(text, s.text); i >= 0 && i < at {
			at, length, id = i, len(s.text), s.id
		}
	}
	return at, length, id
}
