// Package models opens the models of a pipeline and keeps them: the base, its refiner, ControlNets, the tiny autoencoder, the upscaler and
// the VAE in F32. It reads what their files say of how to run them, and checks that they belong together. What is opened for a job
// is a lease: the job gives it back, and the model stays open while there is room.
package models
