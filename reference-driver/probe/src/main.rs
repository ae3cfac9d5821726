//! reference-driver/probe
fn main() {}
