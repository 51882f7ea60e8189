//! The CNI specification, and nothing of Linux: requests, configurations, results, errors, versions.

pub mod address;
pub mod args;
pub mod config;
pub mod error;
pub mod keys;
pub mod names;
pub mod render;
pub mod request;
pub mod result;
pub mod runtime_config;
pub mod version;
