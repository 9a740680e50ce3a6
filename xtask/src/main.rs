//! The one entry to everything a developer or CI does.
fn main() {}
