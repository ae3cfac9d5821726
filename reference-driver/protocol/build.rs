//! Compiles the protocol without `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["compute_driver.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // Their `Debug` is written by hand: they carry a credential and environment values.
        .skip_debug(["openshell.compute.v1.DriverSandboxSpec", "openshell.compute.v1.DriverSandboxTemplate"])
        .compile_fds(files)?;
    Ok(())
}
