//! The daemon: builds the roles from the configuration and runs them.

fn main() {}
