//! The agent inside the guest.
fn main() {}
