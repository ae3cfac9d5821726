//! reference-driver/driver
