//! Real daemons, real clients.

#![forbid(unsafe_code)]
