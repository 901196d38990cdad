// Package hub fetches models by name, and finds those that were fetched.
//
//	model, err := hub.Pull(ctx, "sdxl", hub.Options{})
//	...
//	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: model.Path})
//
// A name is a repository of Hugging Face ("owner/name@revision:file"), a version of Civitai ("civitai:128078"), an AIR, an address, or the
// short name of a well-known model. docs/models-by-name.md has all of them. pipeline.Config takes names, too, but downloads nothing: Pull
// is the only function here that makes connections.
//
// # Files
//
// Models of Hugging Face go into the cache of the Python package huggingface_hub, in its layout. Both find each other's files.
//
// # Trust
//
// A file gets its name only after its sum was compared with the one that the hub tells, in one step. What came of an interrupted download
// stays, and the next Pull goes on from there, also in another process. Pickles are refused unless they are asked for.
//
// # Tokens
//
// Tokens come from the environment: HF_TOKEN (or the file that `hf auth login` writes) and CIVITAI_TOKEN. They go to the server that they
// are for, and to no other. No error, note or file holds one.
package hub
