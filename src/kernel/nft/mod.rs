//! nf_tables over netlink, spoken by causeway itself (linux/netfilter/nf_tables.h, nfnetlink.h).
//!
//! One table per purpose holds constant rules over sets; a pod adds and removes elements. A
//! [`Change`] gathers the elements of one verb, and [`Socket::commit`] carries it out in one
//! transaction: usually one message to the kernel and one answer. Only when the kernel says that a
//! table or set is missing is the [`Base`] sent as well.
//!
//! Where a line of code lives: [`super::attr`] writes and reads attributes, [`message`] frames messages,
//! [`table`] describes tables, chains and rules, [`set`] sets and their elements, [`expr`] what
//! rules are made of and [`phrase`] what several of them say together, [`userdata`] comments,
//! [`transaction`] commits and `settle` says how to go on after a refusal, `founding` takes back what a change
//! has founded, [`query`] asks, [`found`] reads what is there, and [`parts`] what others' rules are made of.

mod attribute;
pub mod error;
pub mod expr;
pub mod found;
mod founding;
pub mod message;
pub mod parts;
pub mod phrase;
pub mod query;
pub mod set;
mod settle;
pub mod socket;
pub mod table;
pub mod transaction;
pub mod userdata;

use std::borrow::Cow;

pub use error::Error;
pub use found::{FoundChain, FoundElement, FoundRule};
pub use set::{Element, Field, Key, MapTo, Set, SetName};
pub use socket::Socket;
pub use table::{Base, Chain, ChainName, Family, Hook, Rule, Table};
pub use transaction::Change;
pub use userdata::comment;

/// A name in nf_tables: usually constant, sometimes made from an address.
pub type Name = Cow<'static, str>;
