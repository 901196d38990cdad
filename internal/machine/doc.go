// Package machine tells what the machine has and what this process takes of it: memory and its limits, the CPU, energy. On Linux it reads
// /proc and /sys, on Windows and macOS it asks the system. Elsewhere it knows little, and says so with zeros. Sampling costs a few
// microseconds each time (docs/batch.md has the measurement).
package machine
