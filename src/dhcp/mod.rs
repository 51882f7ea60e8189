//! The `dhcp` address source: the daemon that gets leases and keeps them up, and its protocol.
//!
//! Plugins ask the daemon over a socket ([`rpc`], in [`gob`]); either side may be the reference's.
//! What to send and when is decided by [`machine`], a pure function of time and of what was heard;
//! [`keeping`] carries it out on an interface, in one thread for each lease.

pub mod asking;
pub mod clock;
pub mod daemon;
pub mod gob;
pub mod keeping;
pub mod machine;
pub mod message;
pub mod place;
pub mod rpc;
pub mod settings;
pub mod store;
pub mod terms;
