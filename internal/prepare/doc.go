// Package prepare resolves a request once: defaults, sizes, seeds, scheduler, the files of adapters and ControlNets, the lengths of texts.
// The memory plan, the batches, the fingerprint of a resumed run and the manifest all read the one Prepared.
package prepare
