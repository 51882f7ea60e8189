//! The `dhcp` address source: the daemon that gets leases and keeps them up, and its protocol.
//!
//! Plugins ask the daemon over a socket ([`rpc`], in [`gob`]); either side may be the reference's.

pub mod gob;
pub mod rpc;
