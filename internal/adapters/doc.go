// Package adapters reads, caches and merges the files of adapters: LoRA in all its file layouts, LyCORIS, DoRA, (IA)^3, OFT.
//
// Open reads a file, maps its keys to a model's modules and turns every algorithm into backend.LoRATargets, with a Report of what was
// applied and what was not. A Cache keeps adapters resident in a model under a memory limit. An Active is a lora.Stack in use. Its weights
// may change at any time without reading a file. Fuse adds adapters to a checkpoint for good.
//
// Files are untrusted: they are read through modelfile, every shape is checked against the model, and nothing in them is run.
//
// A new algorithm is a file with an algorithm value, one name in the list of algorithms, and a test.
package adapters
