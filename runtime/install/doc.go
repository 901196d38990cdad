// Package install fetches libdaguerre for programs that were made with Go alone.
//
// [Ensure] looks for a library where the loader looks (docs/install.md). If none is there, it fetches the archive of this very version for
// this platform, checks its signature and its sum, and puts the library into the user's data folder. The loader finds it there. Nothing is
// downloaded unless a program calls Ensure, or a user calls `daguerre install`.
//
//	lib, err := install.Ensure(ctx, install.Options{})
//	...
//	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: model, Library: lib.Library})
//
// # Trust
//
// An archive is trusted by its sum. The sum stands in SHA256SUMS, beside the archive. That file is trusted by its minisign signature,
// SHA256SUMS.minisig, with the public key in this package (release.pub) or the one in Options. So it does not matter where a mirror gets
// its files from. Each version fetches archives of its own version only: an older release cannot stand in for it.
//
// # Interruptions
//
// A download that was cut goes on where it stopped, also in a later process, if the server says that the file is still the same. Files of
// the library appear whole or not at all. Two processes that install at once do so one after the other.
package install
