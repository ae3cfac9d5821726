//! The subject: the driver under test, deployed with its chart and reached over its protocol.

pub(crate) mod chart;
pub(crate) mod connection;
