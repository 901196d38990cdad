// Package machine measures what a process and its machine use while it works: memory now and at its highest, by stage. Sampling costs a
// few microseconds each time (docs/batch.md has the measurement).
package machine
