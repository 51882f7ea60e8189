//! Protection against forged hardware addresses: a guarded link may send only from its own.
//!
//! ```text
//! table bridge causeway_macspoof {
//!     set guarded { type ifname; elements = { "veth1a2b3c" comment "net/id/eth0" } }
//!     set allowed { type ifname . ether_addr; elements = { "veth1a2b3c" . 02:42:0a:58:00:05 … } }
//!     chain prerouting {
//!         type filter hook prerouting priority -300; policy accept;
//!         iifname @guarded iifname . ether saddr != @allowed drop
//!     }
//! }
//! ```

use super::difference::Difference;
use super::nft::expr::{Expr, Header, Meta, Register, Verdict};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, Rule, Set, SetName, Socket,
    Table, comment,
};

/// The table, in family bridge.
pub const TABLE: &str = "causeway_macspoof";
const GUARDED: &str = "guarded";
const ALLOWED: &str = "allowed";
/// Before everything else on a bridge (`NF_BR_PRI_NAT_DST_BRIDGED`), as the reference plugins do.
const PRIORITY: i32 = -300;
/// Bytes of an interface name in a register (`IFNAMSIZ`).
const NAME: usize = 16;

/// A link that may send only from one hardware address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host link's name.
    pub link: String,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The owner as [`comment`] wrote it; empty when somebody else made the entry.
    pub owner: String,
}

/// Puts into `change` that frames which come in on `link`, a bridge port, pass only when sent from
/// `mac`. What a former link of that name left is taken over.
pub fn add(change: &mut Change, link: &str, mac: [u8; 6], owner: &str) {
    change.needs(set_name(GUARDED), base);
    let comment = comment(owner);
    for (set, key) in places(link, mac) {
        change.add(Element { set, key, value: None, comment: Some(comment.clone()) });
    }
}

/// Puts into `change` that `link` is no longer guarded, as far as the entries are `owner`'s.
pub fn remove(change: &mut Change, link: &str, mac: [u8; 6], owner: &str) {
    let comment = comment(owner);
    for (set, key) in places(link, mac) {
        change.remove_of(set, key, comment.clone());
    }
}

/// What is missing for `link` to be guarded for `owner`, in words; empty when nothing is.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(
    socket: &mut Socket,
    link: &str,
    mac: [u8; 6],
    owner: &str,
) -> Result<Vec<Difference>, Error> {
    let comment = comment(owner);
    let mut missing = socket.missing_of(&base())?;
    let places = places(link, mac);
    let keys: Vec<_> = places.iter().map(|(set, key)| (set, key)).collect();
    for ((set, _), found) in places.iter().zip(socket.elements(&keys)?) {
        match found {
            None => missing.push(format!("{set} lacks {link}").into()),
            Some(found) if found.comment.as_ref() != Some(&comment) => missing
                .push(Difference::taken(format_args!("{link} in {set}"), found.comment.as_deref())),
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Every guarded link of this host, for GC and listing. [`remove`] takes an entry's parts as they
/// are.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let elements = socket.set_elements(&set_name(ALLOWED))?;
    Ok(elements
        .into_iter()
        .filter_map(|element| {
            let (link, mac) = element.key.as_bytes().split_at_checked(NAME)?;
            Some(Entry {
                link: super::attr::text(link)?.to_owned(),
                mac: *mac.first_chunk()?,
                owner: element.comment.unwrap_or_default(),
            })
        })
        .collect())
}

fn set_name(set: &'static str) -> SetName {
    SetName { family: Family::Bridge, table: TABLE.into(), set: set.into() }
}

/// The elements of one link.
fn places(link: &str, mac: [u8; 6]) -> [(SetName, Key); 2] {
    [
        (set_name(GUARDED), Key::interface(link)),
        (set_name(ALLOWED), Key::interface(link).and_mac(mac)),
    ]
}

fn base() -> Base {
    let incoming = || Expr::Meta { key: Meta::IncomingName, to: Register::FIRST };
    let lookup = |set: &'static str, absent| Expr::Lookup {
        from: Register::FIRST,
        set: set.into(),
        absent,
        to: None,
    };
    // Bytes 6 to 11 of an Ethernet frame are where it says it comes from.
    let sender =
        Expr::Payload { header: Header::Link, offset: 6, length: 6, to: Register::after(NAME) };
    Base {
        table: Table {
            family: Family::Bridge,
            name: TABLE.into(),
            comment: Some("causeway: links that may send only from their own address".into()),
        },
        sets: vec![
            Set {
                name: GUARDED.into(),
                key: &[Field::InterfaceName],
                to: None,
                comment: Some("links that are looked at".into()),
            },
            Set {
                name: ALLOWED.into(),
                key: &[Field::InterfaceName, Field::EtherAddress],
                to: None,
                comment: Some("link and the address it may send from".into()),
            },
        ],
        chains: vec![Chain {
            name: "prerouting".into(),
            hook: Some(Hook { kind: "filter".into(), point: Hook::PREROUTING, priority: PRIORITY }),
            comment: None,
            rules: vec![Rule::new([
                incoming(),
                lookup(GUARDED, false),
                incoming(),
                sender,
                lookup(ALLOWED, true),
                Expr::Verdict(Verdict::Drop),
            ])],
        }],
    }
}
