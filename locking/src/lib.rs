//! Share reservations, byte-range locks and leases as a pure state machine.

#![forbid(unsafe_code)]
