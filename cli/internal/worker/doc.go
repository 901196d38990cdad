// Package worker serves other programs: JSON lines in, one request each, and JSON lines out, the events of every request under its
// id. A Server translates between the lines and a service.Service, which does the work; a Supervisor runs a Server in a child process, and
// starts it again when it dies. The protocol is described in docs/worker.md.
package worker

// Protocol is the version of the protocol. It is raised when a field changes its meaning or goes away; new fields, types and
// events do not raise it.
const Protocol = 1

// DefaultMaxLine is the longest line that is read where Options does not say, in bytes.
const DefaultMaxLine = 64 << 20
