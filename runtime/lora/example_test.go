package lora_test

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The effective weight of an adapter in a component is the product of everything that has a say in it.
func ExampleStack_EffectiveWeight() {
	stack := lora.Stack{
		Adapters: []lora.Adapter{
			{Name: "ink-wash", Weight: new(0.8), TextEncoderWeight: new(0.2)},
			{Name: "detail", Enabled: new(false)},
		},
		Options: lora.Options{GlobalWeight: new(0.5)},
	}
	for _, a := range stack.Adapters {
		fmt.Println(a.Label(), stack.EffectiveWeight(a, "unet"), stack.EffectiveWeight(a, "text_encoder"))
	}
	// Output:
	// ink-wash 0.4 0.1
	// detail 0 0
}

// Mistakes are found all at once, each with the field it is in.
func ExampleStack_Validate() {
	fmt.Println(lora.Stack{Adapters: []lora.Adapter{{Name: "ink-wash", Weight: new(1000.0), Start: 2}}}.Validate())
	// Output:
	// lora[0].weight: is 1000; it must be a number between -100 and 100
	// lora[0].start: is 2; it must be a number between 0 and 1
	// lora[0].start: is 2, not before end, which is 1: the adapter would never take part
}
