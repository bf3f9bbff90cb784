//! The whole core, from the frontend to logs, maps and chunks on drives that lose power, on one thread and in
//! simulated time: a seed is a cluster, its clients, and what goes wrong. What clients were told is compared with
//! the model, through any number of crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is not as expected")]

mod bugs;
mod client;
mod commons;
mod content;
mod drive;
mod op;
mod seeds;
mod site;
mod tenant;
