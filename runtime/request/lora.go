package request

import (
	"errors"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Stack is what the [[lora]] and [lora_stack] tables say. Tags in prompts are not looked at.
func (r Request) Stack() lora.Stack {
	return lora.Stack{Adapters: slices.Clone(r.LoRAs), Options: r.LoRAStack}
}

// loras adds what package lora finds wrong.
func (c checker) loras(err error) {
	var fields lora.FieldErrors
	if errors.As(err, &fields) {
		for _, f := range fields {
			c.fail(f.Field, "%s", f.Message)
		}
	}
}
