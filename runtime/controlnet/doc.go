// Package controlnet makes the map that a ControlNet sees. It scales a control picture to the size of the picture to make, and preprocesses
// it, for example into edges. It is pure Go, gives equal results everywhere, and runs no network. Maps that networks make (depth, pose,
// segments) are passed on as they are. A new preprocessor is a function in a file of its own and an entry in Preprocessors.
package controlnet
