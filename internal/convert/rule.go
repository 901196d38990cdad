package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Types are what weights can be converted to, from most to fewest bits.
var Types = []modelfile.DType{"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "Q4_0", "IQ4_NL", "Q3_K",
	"Q2_K"}

// ParseType reads a type's name in upper or lower case.
func ParseType(text string) (modelfile.DType, error) {
	t := modelfile.DType(strings.ToUpper(text))
	if !slices.Contains(Types, t) {
		return "", fmt.Errorf("%w: the type %q is unknown%s; known are %s", ErrOptions, text, words.DidYouMean(text, typeNames()),
			strings.Join(typeNames(), ", "))
	}
	return t, nil
}

func typeNames() []string {
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = strings.ToLower(string(t))
	}
	return names
}

// Rule gives some tensors a type of their own.
type Rule struct {
	// Component is "unet", "vae", "text_encoder" or "text_encoder_2": the type takes the place of Options.Type there, and
	// what is kept at a higher precision still is. Empty for a rule with a Pattern.
	Component string
	// Pattern is found anywhere in the tensor's name; such tensors get the type if they can have it.
	Pattern *regexp.Regexp
	Type    modelfile.DType
}

var components = []string{"unet", "vae", "text_encoder", "text_encoder_2"}

// ParseRule reads "PATTERN=TYPE", where PATTERN is a component's name or a regular expression (RE2) for tensor names.
func ParseRule(text string) (Rule, error) {
	at := strings.LastIndexByte(text, '=')
	if at <= 0 {
		return Rule{}, fmt.Errorf("%w: the rule %q is not of the form PATTERN=TYPE, as 'attn.*=q8_0'", ErrOptions, text)
	}
	t, err := ParseType(text[at+1:])
	if err != nil {
		return Rule{}, err
	}
	if slices.Contains(components, text[:at]) {
		return Rule{Component: text[:at], Type: t}, nil
	}
	re, err := regexp.Compile(text[:at])
	if err != nil {
		return Rule{}, fmt.Errorf("%w: the rule %q: %w", ErrOptions, text, err)
	}
	return Rule{Pattern: re, Type: t}, nil
}

// String writes the rule as ParseRule reads it.
func (r Rule) String() string {
	pattern := r.Component
	if r.Pattern != nil {
		pattern = r.Pattern.String()
	}
	return pattern + "=" + strings.ToLower(string(r.Type))
}

func ruleTexts(rules []Rule) []string {
	var texts []string
	for _, r := range rules {
		texts = append(texts, r.String())
	}
	return texts
}
