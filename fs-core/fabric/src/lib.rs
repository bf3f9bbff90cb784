//! Request and reply between roles, wherever the peer runs.

#![forbid(unsafe_code)]
