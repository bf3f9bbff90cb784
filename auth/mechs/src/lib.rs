//! Authentication mechanisms as token machines; no sockets.

#![forbid(unsafe_code)]
