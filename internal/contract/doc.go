// Package contract has the checks that every backend makes before it computes: are these the shapes that the model takes, and
// was the component opened. The real backend and the fake share them, so that both refuse the same calls with the same words.
//
// The real backend's memory depends on them. Native code reads as many values as the model's dimensions ask for, and these are the only
// checks that the tensors have so many. Products of sizes are therefore made without overflow.
package contract
