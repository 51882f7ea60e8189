//! causeway: a CNI plugin in one process.
//!
//! A call passes each room once, left to right: [`protocol`] turns environment and stdin into a
//! request, [`plugins`] turn it into a plan, [`engine`] carries the plan out or undoes it, and
//! [`kernel`] speaks to Linux. docs/ARCHITECTURE.md tells the way in full.

// Their macros panic when nobody reads what is printed; see `cli::output`.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

// They are for tests: no release may have them.
#[cfg(all(feature = "faults", not(debug_assertions)))]
compile_error!("the feature `faults` makes calls fail on purpose; a release is built without it");

pub mod cli;
pub mod delegate;
pub mod dhcp;
pub mod diagnosis;
pub mod engine;
pub mod exit_code;
#[cfg(test)]
mod fuzz;
pub mod graph;
pub mod install;
pub mod inventory;
pub mod ipam;
pub mod kernel;
pub mod libcni;
pub mod lint;
pub mod logging;
pub mod plugins;
pub mod protocol;
pub mod runtime;
pub mod schema;
pub mod state_file;
pub mod tally;
pub mod trace;
pub mod watch;
