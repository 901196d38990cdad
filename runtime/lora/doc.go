// Package lora is what one says of adapters: which of them change a picture, how strongly, in which blocks and steps. LoRA, LyCORIS, DoRA
// and (IA)^3 are all adapters here.
//
// An Adapter is one of them, a Stack is all of a picture. The zero value of each field is its default, so that Adapter{Name: "ink"} acts
// with weight 1 in all steps. A request's [[lora]] and [lora_stack] tables are these types. The files themselves are read elsewhere.
package lora
