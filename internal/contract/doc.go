// Package contract has the checks that every backend makes before it computes: are these the shapes that the model takes, and
// was the component opened. The real backend and the fake share them, so that both refuse the same calls with the same words.
package contract
