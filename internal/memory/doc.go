// Package memory tells how much memory a run will take, before anything is loaded, and decides how to make it fit.
//
// An Inventory is what the headers of a model's files say of its weights; with a TypePolicy it gives the bytes that the backend
// allocates for them, exactly. Compute buffers come from a function that the caller supplies, the backend's own measurement, or
// from a fitted formula where there is no backend. Estimate puts both together to a Breakdown: what each device holds in each stage
// of a run. Choose walks the strategies from the fastest to the smallest and takes the first whose peak fits the Budget.
//
// Everything is pure but Read, which opens headers.
package memory
