//! Real shards on one drive whose power goes at every step of an operation that reaches over them: afterwards
//! it has happened as a whole or not at all, and who asks again gets the first answer.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod cuts;
mod site;
