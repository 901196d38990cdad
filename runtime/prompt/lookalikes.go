package prompt

import (
	"fmt"
	"regexp"
)

// lookalikes are pieces of other programs' prompt languages. Without the program they would be painted as words.
var lookalikes = []struct {
	looks *regexp.Regexp
	is    string // whose it is, and what to write
}{
	{regexp.MustCompile(`\bAND_(?:PERP|SALT|TOPK)\b`), "neutral prompts' (an extension of A1111); AND with a weight is offered"},
	{regexp.MustCompile(`\bADD(?:ROW|COL|COMM|BASE)\b`), "the regional prompter's (an extension of A1111)"},
	{regexp.MustCompile(`\$\{[^}]*\}`), "a variable of dynamic prompts; write its value"},
	{regexp.MustCompile(`<(?:hypernet|segment|object|ppp|lbw|block)[:>][^<>]*>?`), "an extension's tag; of tags, <lora:name:weight> is offered"},
	{regexp.MustCompile(`\)\s*\.(?:blend|swap|and)\(`), "compel's (InvokeAI); AND joins prompts, and [a:b:0.5] swaps words"},
}

// doubtful are pieces that may be another program's, and may be text.
var doubtful = []struct {
	looks *regexp.Regexp
	is    string
}{
	{regexp.MustCompile(`[\pL)](?:\+\+|--)(?:[\s,.]|$)`), "compel's weight of a word (InvokeAI), and is text here; (word:1.1) gives a weight"},
}

// Foreign returns an error if a text has a piece of a prompt language that is not offered, and what may be one.
func Foreign(text string) (doubts []string, err error) {
	for _, l := range lookalikes {
		if at := l.looks.FindStringIndex(text); at != nil {
			return nil, failure(ErrSyntax, at[0], `%s is not offered: it is %s; leave it out, or set prompt_syntax = "plain" to paint it as text`,
				text[at[0]:at[1]], l.is)
		}
	}
	for _, l := range doubtful {
		if m := l.looks.FindString(text); m != "" {
			doubts = append(doubts, fmt.Sprintf("%q looks like %s", m, l.is))
		}
	}
	if u := unopened(text); u != "" {
		doubts = append(doubts, u)
	}
	return doubts, nil
}
