// Package bench measures models against each other: types of weights, sizes, batches, devices and schedulers, in speed,
// memory and fidelity. It plans the cases, runs them in turns, computes the statistics, compares two reports and recommends a
// type.
//
// A measurement is a session: a model is opened, warmed up and makes pictures. Run asks a Measurer for sessions, round after round,
// every case once a round. So if the machine becomes slower, it does so for all cases. Measure is such a Measurer in this process.
// The command line has one that starts a process for each session. The peak of resident memory belongs to a process, and a failure
// then costs one row and not the report. And no session finds memory that another one left behind.
package bench
