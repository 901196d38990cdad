// Package controlnet makes the map that a ControlNet is shown: it scales a control picture to the size of the picture that is made, and
// preprocesses it, with edges for example. It is pure Go, gives equal results everywhere, and runs no network: maps that networks make
// (depth, pose, segments) are passed on as they are. A new preprocessor is a function in a file of its own and an entry in Preprocessors.
package controlnet
