//! reference-driver/protocol
