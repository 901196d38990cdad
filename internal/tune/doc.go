// Package tune chooses how a GPU computes, by timing ways of computing on the device itself. What it finds is kept in the user's
// cache, for each device, driver and build of the library.
package tune
