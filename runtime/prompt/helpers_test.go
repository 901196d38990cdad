package prompt

import (
	"hash/fnv"
	"regexp"
	"strings"
)

var wordRE = regexp.MustCompile(`\p{L}+|\p{N}|[^\s\p{L}\p{N}]`)

// fakeTokens cuts text into words, digits and single signs, as CLIP's pattern does, with ids from a hash.
func fakeTokens(text string) ([]int32, error) {
	var ids []int32
	for _, w := range wordRE.FindAllString(strings.ToLower(text), -1) {
		ids = append(ids, fakeID(w))
	}
	return ids, nil
}

func fakeID(w string) int32 {
	if w == "," {
		return 267
	}
	h := fnv.New32a()
	h.Write([]byte(w))
	return 1000 + int32(h.Sum32()%40000)
}
