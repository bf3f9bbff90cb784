//! Shards: a replicated log and an ordered map under any deterministic machine.

#![forbid(unsafe_code)]
