// Package controlnet prepares what a ControlNet is shown: it scales a control picture to the size of the picture to be made and
// turns it into the map the net was trained on. It is pure Go, deterministic, and runs no network: maps of depth, pose or
// segments, which networks make, are passed through as they are.
package controlnet
