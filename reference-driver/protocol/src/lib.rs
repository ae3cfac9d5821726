//! The contract between a gateway and a compute driver, `openshell.compute.v1`: messages, client and server.
//!
//! The messages are wire-compatible with NVIDIA/OpenShell at commit `2f7fb6559` (2026-08-21).
//! [`structs`] converts `google.protobuf.Struct` to JSON and back; [`faults`] lists the defects the reference driver can be
//! told to have.

mod credentials;
pub mod faults;
pub mod structs;

/// The generated messages, client and server of `openshell.compute.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated from compute_driver.proto, which carries the comments"
)]
pub mod v1 {
    tonic::include_proto!("openshell.compute.v1");
}

pub use v1::compute_driver_client::ComputeDriverClient;
pub use v1::compute_driver_server::{ComputeDriver, ComputeDriverServer};

/// The contract's package.
pub const PROTOCOL: &str = "openshell.compute.v1";
/// The contract's one service, as health checks and logs name it.
pub const SERVICE: &str = "openshell.compute.v1.ComputeDriver";
/// The commit of NVIDIA/OpenShell that the messages are wire-compatible with (2026-08-21).
///
/// A later revision adds fields and RPCs. Unknown fields are ignored and unknown RPCs answered with `Unimplemented`, by the
/// rules of proto3 and gRPC; only `GatewayListenerRequirement.exact_bind_address`, which changed its type, does not mix.
pub const PROTOCOL_REVISION: &str = "2f7fb6559";

/// Where a driver listens unless told otherwise: loopback, TCP port 50061 (upstream's default).
pub const DEFAULT_BIND_ADDRESS: &str = "127.0.0.1:50061";

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn fields_of_a_later_revision_are_ignored() {
        let mut sent = v1::DriverSandboxSpec { tty: true, ..v1::DriverSandboxSpec::default() }.encode_to_vec();
        // `policy` (7), a message, and `await_main_process_attachment` (14), a flag.
        sent.extend([7 << 3 | 2, 2, 0x08, 0x01, 14 << 3, 1]);
        let read = v1::DriverSandboxSpec::decode(sent.as_slice()).unwrap();
        assert!(read.tty);
    }

    #[test]
    fn the_service_is_named_as_it_is_served() {
        assert_eq!(SERVICE, v1::compute_driver_server::SERVICE_NAME);
        assert!(SERVICE.starts_with(PROTOCOL));
    }
}
