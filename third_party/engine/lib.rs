//! Empty: this package exists so that `cargo vendor` has something to resolve.
