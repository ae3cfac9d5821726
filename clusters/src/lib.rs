//! Providers of clusters and what clusters are made of: components, the host probe,
//! the registry that witnesses pulls, guest images, and the ledger of everything external.
//!
//! This crate knows nothing of scenarios.

pub mod components;
pub mod existing;
pub mod host;
pub mod images;
pub mod init;
pub mod kind;
pub mod ledger;
pub mod native;
pub mod oci_runtime;
pub mod process;
pub mod provider;
pub mod registry;
