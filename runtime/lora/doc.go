// Package lora finds, reads, caches and weighs adapters: LoRA in all its file layouts, LyCORIS, DoRA, (IA)^3.
//
// A Library finds files in folders and resolves names. Open reads a file, maps its keys to a model's modules and turns
// every algorithm into backend.LoRATargets, with a Report of what was applied and what was not. A Cache keeps adapters
// resident in a model under a memory limit. A Stack says which adapters take part in a picture and how strongly;
// its weights may change at any time without reading a file.
//
// Files are untrusted: they are read through modelfile, every shape is checked against the model, and nothing in them
// is run.
package lora
