package prompt_test

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/prompt"
)

func ExampleParse() {
	spans, err := prompt.Parse(`a (red:1.3) ball, [blurry] \(print\)`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range spans {
		fmt.Printf("%.2f %q\n", s.Weight, s.Text)
	}
	// Output:
	// 1.00 "a "
	// 1.30 "red"
	// 1.00 " ball, "
	// 0.91 "blurry"
	// 1.00 " (print)"
}

func ExampleReader_Read() {
	// Any function will do for a tokenizer; a model's is backend.Model.Tokenize.
	tokenize := func(text string) ([]int32, error) {
		var ids []int32
		for _, w := range strings.Fields(text) {
			ids = append(ids, int32(len(w)))
		}
		return ids, nil
	}
	r, err := prompt.NewReader(prompt.Options{Tokenize: tokenize})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := r.Read("one (two:1.2) BREAK three", 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text.Chunks(), text.IDs[0][:5], text.Weights[0][:5])
	// Output:
	// 2 [49406 3 3 49407 0] [1 1 1.2 1 1]
}

func ExampleExtractLoRA() {
	rest, tags, err := prompt.ExtractLoRA("a cat <lora:outline:0.8> on a mat")
	fmt.Println(rest, tags[0].Name, tags[0].Weight, err)
	// Output:
	// a cat on a mat outline 0.8 <nil>
}
