//! reference-driver/supervisor
fn main() {}
