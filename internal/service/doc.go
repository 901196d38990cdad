// Package service makes pictures for other programs: it keeps models open, takes orders, makes what they ask for and tells of it in events.
// It knows no protocol: what speaks lines of JSON or HTTP translates both ways and decides nothing.
//
// An order is one run: its jobs go to the one queue of the model it names, a pipeline.Batcher. A job is prepared when its turn comes near
// and is let go of when it has ended, so that memory grows with what is in work and not with what is planned. A Run does this; the command
// line uses one without a Service. Pictures go to a Store, into the events, or both.
package service
