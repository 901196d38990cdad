// Package fault lets code that reads many untrusted fields stop at the first that is wrong. Such code panics with an error instead of
// passing it on through every caller. Whoever calls it from outside uses Catch, so that no such panic leaves a package.
package fault

import "runtime"

// Catch runs code and returns the error that it panicked with. Errors of the Go runtime are faults of ours: they go on as panics.
func Catch(run func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			panic(p)
		case error:
			err = p
		default:
			panic(p)
		}
	}()
	run()
	return nil
}

// Check panics with an error that is not nil.
func Check(err error) {
	if err != nil {
		panic(err)
	}
}

// Value is a result that came without an error.
func Value[T any](v T, err error) T {
	Check(err)
	return v
}
