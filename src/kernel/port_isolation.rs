//! Isolated bridge ports: they reach the bridge itself, and through it the world, but no other port.
//!
//! ```text
//! table bridge causeway_firewall {
//!     set isolated { type ifname; elements = { "veth1a2b3c" comment "net/id/eth0" } }
//!     chain forward {
//!         type filter hook forward priority -200; policy accept;
//!         iifname @isolated drop
//!         oifname @isolated drop
//!     }
//! }
//! ```
//!
//! By ports, not by their bridge (`meta ibrname`): many kernels are built without
//! CONFIG_NFT_BRIDGE_META. And here rather than with the rules for IP packets, since those see what a
//! bridge carries only with br_netfilter.

use super::difference::Difference;
use super::nft::expr::{Expr, Meta, Register, Verdict};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, Rule, Set, SetName, Socket,
    Table, comment,
};

/// The table, in family bridge.
pub const TABLE: &str = super::firewall::TABLE;
const ISOLATED: &str = "isolated";
/// nft's `filter` in family bridge (`NF_BR_PRI_FILTER_BRIDGED`).
const PRIORITY: i32 = -200;

/// An isolated port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host link's name.
    pub port: String,
    /// The owner as [`comment`] wrote it; empty when somebody else made the entry.
    pub owner: String,
}

/// Puts into `change` that `port` is isolated. What a former link of that name left is taken over.
pub fn add(change: &mut Change, port: &str, owner: &str) {
    change.needs(set_name(), base);
    let comment = Some(comment(owner));
    change.add(Element { set: set_name(), key: Key::interface(port), value: None, comment });
}

/// Puts into `change` that `port` is not isolated any more, as far as the entry is `owner`'s.
pub fn remove(change: &mut Change, port: &str, owner: &str) {
    change.remove_of(set_name(), Key::interface(port), comment(owner));
}

/// What is missing for `port` to be isolated for `owner`, in words; empty when nothing is.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(socket: &mut Socket, port: &str, owner: &str) -> Result<Vec<Difference>, Error> {
    let mut missing = socket.missing_of(&base())?;
    match socket.element(&set_name(), &Key::interface(port))? {
        None => missing.push(format!("{} lacks {port}", set_name()).into()),
        Some(found) if found.comment.as_deref() != Some(&*comment(owner)) => missing.push(
            Difference::taken(format_args!("{port} in {}", set_name()), found.comment.as_deref()),
        ),
        Some(_) => {}
    }
    Ok(missing)
}

/// Every isolated port of this host, for GC. [`remove`] takes an entry's parts as they are.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let elements = socket.set_elements(&set_name())?.into_iter();
    let entries = elements.filter_map(|element| {
        let port = super::attr::text(element.key.as_bytes())?.to_owned();
        Some(Entry { port, owner: element.comment.unwrap_or_default() })
    });
    Ok(entries.collect())
}

fn set_name() -> SetName {
    SetName { family: Family::Bridge, table: TABLE.into(), set: ISOLATED.into() }
}

fn base() -> Base {
    let dropped = |key| {
        Rule::new([
            Expr::Meta { key, to: Register::FIRST },
            Expr::Lookup { from: Register::FIRST, set: ISOLATED.into(), absent: false, to: None },
            Expr::Verdict(Verdict::Drop),
        ])
    };
    Base {
        table: Table {
            family: Family::Bridge,
            name: TABLE.into(),
            comment: Some("causeway: what bridges carry to and from pods".into()),
        },
        sets: vec![Set {
            name: ISOLATED.into(),
            key: &[Field::InterfaceName],
            to: None,
            comment: Some("ports that reach no other port".into()),
        }],
        chains: vec![Chain {
            name: "forward".into(),
            hook: Some(Hook { kind: "filter".into(), point: Hook::FORWARD, priority: PRIORITY }),
            comment: None,
            rules: vec![dropped(Meta::IncomingName), dropped(Meta::OutgoingName)],
        }],
    }
}
