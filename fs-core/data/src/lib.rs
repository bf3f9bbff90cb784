//! Stripes: erasure code, parallel write, verified read, reconstruction.

#![forbid(unsafe_code)]
