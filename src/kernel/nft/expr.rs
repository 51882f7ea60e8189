//! Expressions: what rules are made of. They load values into registers, compare them, and decide.
//!
//! [`Expr`] is the kernel's set of building blocks; [`super::phrase`] has what is made of several.

use super::Name;
use super::attribute;
use crate::kernel::attr::{Reader, Writer, contains, find, find_str};

/// A register: four of 16 bytes, or the same room as sixteen of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    /// Where verdicts go (`NFT_REG_VERDICT`).
    pub const VERDICT: Self = Self(0);
    /// The first 16 bytes (`NFT_REG_1`).
    pub const FIRST: Self = Self(1);

    /// The register that begins `bytes` after the first, a multiple of four. Whole registers are
    /// named by their 16-byte name, as nft and the kernel do when they list rules.
    pub fn after(bytes: usize) -> Self {
        let words = u32::try_from(bytes / 4).unwrap_or(u32::MAX);
        if words % 4 == 0 { Self(1 + words / 4) } else { Self(words.saturating_add(8)) }
    }
}

/// Which header a payload's offset counts from (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Header {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// What is known of a packet beside its bytes (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Meta {
    Protocol = 1,
    Mark = 3,
    IncomingInterface = 4,
    OutgoingInterface = 5,
    IncomingName = 6,
    OutgoingName = 7,
    NetworkProtocol = 15,
    TransportProtocol = 16,
}

/// What is known of a packet's connection (`enum nft_ct_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Connection {
    State = 0,
    Direction = 1,
    Status = 2,
    Mark = 3,
    DestinationPort = 12,
}

/// Which way packets of a connection go (`enum ip_conntrack_dir`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Direction {
    Original = 0,
    Reply = 1,
}

/// How values are compared (`enum nft_cmp_ops`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Compare {
    Equal = 0,
    NotEqual = 1,
}

/// Which address is rewritten (`enum nft_nat_types`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Nat {
    Source = 0,
    Destination = 1,
}

/// A decision (`enum nft_verdicts` and `NF_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let the packet pass this hook's chain.
    Accept,
    /// Throw it away.
    Drop,
    /// Go back to the chain that jumped here.
    Return,
    /// Go to another chain and come back after its end.
    Jump(Name),
    /// Go to another chain for good.
    Goto(Name),
}

impl Verdict {
    /// Writes it as `NFTA_DATA_VERDICT`.
    pub(super) fn write(&self, writer: &mut Writer) {
        let (code, chain) = match self {
            Self::Accept => (1, None),
            Self::Drop => (0, None),
            Self::Return => (-5i32, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        writer.nested(2, |writer| {
            writer.u32(1, code.cast_unsigned());
            if let Some(chain) = chain {
                writer.string(2, chain);
            }
        });
    }
}

/// One building block of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Loads bytes of the packet.
    Payload {
        /// Where `offset` counts from.
        header: Header,
        /// Bytes.
        offset: u32,
        /// Bytes.
        length: u32,
        /// Where they go.
        to: Register,
    },
    /// Loads something known of the packet.
    Meta {
        /// What.
        key: Meta,
        /// Where it goes.
        to: Register,
    },
    /// Sets something of the packet, such as its mark.
    SetMeta {
        /// What.
        key: Meta,
        /// The value.
        from: Register,
    },
    /// Loads something known of the connection.
    Connection {
        /// What.
        key: Connection,
        /// Where it goes.
        to: Register,
    },
    /// Loads something of a connection's packets of one direction, as they are before or after
    /// addresses are rewritten.
    Tuple {
        /// What.
        key: Connection,
        /// Of which packets.
        direction: Direction,
        /// Where it goes.
        to: Register,
    },
    /// Loads of what type the destination address is in the host's routing: 2 for its own
    /// (`RTN_LOCAL`).
    DestinationType {
        /// Where it goes.
        to: Register,
    },
    /// Sets something of the connection, such as its mark.
    SetConnection {
        /// What.
        key: Connection,
        /// The value.
        from: Register,
    },
    /// Ends the rule unless the comparison holds.
    Compare {
        /// What is compared.
        from: Register,
        /// How.
        how: Compare,
        /// With what.
        with: Vec<u8>,
    },
    /// `to = (from & mask) ^ xor`.
    Bitwise {
        /// The value.
        from: Register,
        /// Where the result goes.
        to: Register,
        /// As long as the value.
        mask: Vec<u8>,
        /// As long as the value.
        xor: Vec<u8>,
    },
    /// Looks a key up. In a set: ends the rule unless it is there, or with `absent` unless it is
    /// not. In a map: loads what it leads to, or decides when `to` is [`Register::VERDICT`].
    Lookup {
        /// The key.
        from: Register,
        /// The set or map.
        set: Name,
        /// Whether not being there is what is wanted.
        absent: bool,
        /// Where a map's value goes.
        to: Option<Register>,
    },
    /// Loads a constant.
    Constant {
        /// Where it goes.
        to: Register,
        /// The value.
        value: Vec<u8>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Rewrites the source address to that of the outgoing link.
    Masquerade,
    /// Rewrites an address, and a port if given.
    Nat {
        /// Which.
        kind: Nat,
        /// The address's family: 2 for IPv4, 10 for IPv6 (`NFPROTO_*`).
        family: u32,
        /// The new address.
        address: Register,
        /// The new port.
        port: Option<Register>,
    },
    /// Counts packets and bytes.
    Counter,
}

const LOOKUP_ABSENT: u32 = 1;
/// `NFT_FIB_RESULT_ADDRTYPE`.
const FIB_ADDRESS_TYPE: u32 = 3;
/// `NFTA_FIB_F_DADDR`.
const FIB_OF_DESTINATION: u32 = 2;

impl Expr {
    /// The kernel's name for it; its module is `nft_` and the name, or part of nf_tables itself.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Connection { .. } | Self::SetConnection { .. } | Self::Tuple { .. } => "ct",
            Self::DestinationType { .. } => "fib",
            Self::Compare { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Constant { .. } | Self::Verdict(_) => "immediate",
            Self::Masquerade => "masq",
            Self::Nat { .. } => "nat",
            Self::Counter => "counter",
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.nested(attribute::LIST_ELEMENT, |writer| {
            writer.string(attribute::EXPR_NAME, self.name());
            writer.nested(attribute::EXPR_DATA, |writer| self.write_data(writer));
        });
    }

    fn write_data(&self, writer: &mut Writer) {
        let value = |writer: &mut Writer, kind: u16, value: &[u8]| {
            writer.nested(kind, |writer| writer.bytes(attribute::DATA_VALUE, value));
        };
        match self {
            Self::Payload { header, offset, length, to } => {
                writer.u32(1, to.0);
                writer.u32(2, *header as u32);
                writer.u32(3, *offset);
                writer.u32(4, *length);
            }
            Self::Meta { key, to } => {
                writer.u32(2, *key as u32);
                writer.u32(1, to.0);
            }
            Self::SetMeta { key, from } => {
                writer.u32(2, *key as u32);
                writer.u32(3, from.0);
            }
            Self::Connection { key, to } => {
                writer.u32(2, *key as u32);
                writer.u32(1, to.0);
            }
            Self::Tuple { key, direction, to } => {
                writer.u32(2, *key as u32);
                writer.u32(1, to.0);
                writer.bytes(3, &[*direction as u8]);
            }
            Self::DestinationType { to } => {
                writer.u32(1, to.0);
                writer.u32(2, FIB_ADDRESS_TYPE);
                writer.u32(3, FIB_OF_DESTINATION);
            }
            Self::SetConnection { key, from } => {
                writer.u32(2, *key as u32);
                writer.u32(4, from.0);
            }
            Self::Compare { from, how, with } => {
                writer.u32(1, from.0);
                writer.u32(2, *how as u32);
                value(writer, 3, with);
            }
            Self::Bitwise { from, to, mask, xor } => {
                writer.u32(1, from.0);
                writer.u32(2, to.0);
                writer.u32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
                value(writer, 4, mask);
                value(writer, 5, xor);
            }
            Self::Lookup { from, set, absent, to } => {
                writer.string(1, set);
                writer.u32(2, from.0);
                if let Some(to) = to {
                    writer.u32(3, to.0);
                }
                if *absent {
                    writer.u32(5, LOOKUP_ABSENT);
                }
            }
            Self::Constant { to, value: constant } => {
                writer.u32(1, to.0);
                value(writer, 2, constant);
            }
            Self::Verdict(verdict) => {
                writer.u32(1, Register::VERDICT.0);
                writer.nested(2, |writer| verdict.write(writer));
            }
            Self::Nat { kind, family, address, port } => {
                writer.u32(1, *kind as u32);
                writer.u32(2, *family);
                writer.u32(3, address.0);
                if let Some(port) = port {
                    writer.u32(5, port.0);
                }
            }
            Self::Masquerade | Self::Counter => {}
        }
    }
}

/// Whether the expressions `found`, as the kernel lists them, are `wanted`, as we write them.
pub(super) fn same(found: &[u8], wanted: &[u8]) -> bool {
    let mut found = Reader::new(found);
    let mut wanted = Reader::new(wanted);
    loop {
        match (found.next(), wanted.next()) {
            (None, None) => return true,
            (Some(found), Some(wanted)) if contains(found.value, wanted.value) => {}
            _ => return false,
        }
    }
}

/// The chain that the rule of these expressions jumps or goes to, if it decides so itself; looks
/// through verdicts in `immediate`, not into maps.
pub(super) fn jump_target(expressions: &[u8]) -> Option<&str> {
    Reader::new(expressions).find_map(|expr| {
        if find_str(expr.value, attribute::EXPR_NAME)? != "immediate" {
            return None;
        }
        let data = find(find(expr.value, attribute::EXPR_DATA)?, 2)?;
        find_str(find(data, 2)?, 2)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn written(exprs: &[Expr]) -> Vec<u8> {
        let mut writer = Writer::default();
        for expr in exprs {
            expr.write(&mut writer);
        }
        writer.as_bytes().to_vec()
    }

    #[test]
    fn registers_are_named_as_the_kernel_lists_them() {
        assert_eq!(Register::after(0), Register(1));
        assert_eq!(Register::after(4), Register(9));
        assert_eq!(Register::after(16), Register(2));
        assert_eq!(Register::after(24), Register(14));
    }

    #[test]
    fn same_sees_order_and_number() {
        let one = Expr::Counter;
        let two = Expr::Verdict(Verdict::Jump("CNI-x".into()));
        assert!(same(&written(&[one.clone(), two.clone()]), &written(&[one.clone(), two.clone()])));
        assert!(!same(
            &written(&[two.clone(), one.clone()]),
            &written(&[one.clone(), two.clone()])
        ));
        assert!(!same(&written(std::slice::from_ref(&one)), &written(&[one.clone(), two.clone()])));
        assert!(!same(&written(&[one.clone(), two.clone()]), &written(std::slice::from_ref(&one))));
        assert_eq!(jump_target(&written(&[one, two])), Some("CNI-x"));
    }
}
