// Package plan decides how the jobs of a pipeline are made to fit into memory. It puts models and requests into the terms of package
// memory, measures compute buffers on models of which no weight is loaded, and reads how much is free.
package plan
