//! A full compute driver for Kubernetes that speaks `openshell.compute.v1`.
//!
//! A request's way through the crate: [`request`] parses and validates it without touching a cluster, [`pod`] renders the pod
//! template as a pure function of configuration and request, `kubernetes` talks to the API server, `watch` follows sandboxes,
//! pods and events once for all clients, and `service` ties them to the gRPC contract.

mod arguments;
pub mod config;
mod error;
#[cfg(test)]
mod fake_api_server;
pub mod faults;
pub mod image_reference;
mod kubernetes;
mod listener;
mod log;
pub mod names;
pub mod placement;
pub mod pod;
pub mod quantity;
pub mod request;
mod reservation;
pub mod sandbox;
mod serve;
mod service;
mod watch;
mod workspace;

pub use serve::main;
