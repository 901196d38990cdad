// Package bench measures models against each other: types of weights, sizes, batches, devices and schedulers, in speed,
// memory and fidelity. It plans the cases, runs them in turns, computes the statistics, compares two reports and recommends a
// type.
//
// A measurement is a session: a model is opened, warmed up and makes pictures. Run asks a Measurer for sessions, round after
// round, every case once a round, so that a drift of the machine hits all alike. Measure is such a Measurer in this
// process; the command line has one that starts a process for each session, because the peak of resident memory is a
// process's, a failure then costs one row and not the report, and no session finds memory that another one left behind.
package bench
