//! The chains of the reference plugin `portmap` in iptables' nat table, for operators who choose the
//! iptables backend: names, rules and their order are its own, so that either side removes what the
//! other has made.
//!
//! For packets to an address of the host `PREROUTING` and `OUTPUT` call `CNI-HOSTPORT-DNAT`, which
//! by protocol and port calls the attachment's own `CNI-DN-…`. That one rewrites the destination;
//! before, what has to be masqueraded gets a mark in `CNI-HOSTPORT-SETMARK`. `POSTROUTING` first of
//! all calls `CNI-HOSTPORT-MASQ`, which masquerades what has the mark.

mod found;
mod input;

use ipnetwork::IpNetwork;

use crate::engine::{Error, Owner};
use crate::kernel::iptables::{self, Family};
use crate::kernel::legacy::portmap as names;
use crate::kernel::nat_table::{NatTable, TABLE, quoted};
use crate::kernel::port::Mapping;

/// The chain that sets the mark, unless the operator names another.
pub const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
/// The chain that masquerades what has the mark.
pub const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
/// The chain that all attachments are called from.
pub const ALL: &str = names::ALL;

/// The configuration key that asks for iptables.
pub const NEEDED_FOR: &str = "backend \"iptables\"";
/// How often a change is tried when others change the table at the same time.
const ATTEMPTS: usize = 3;
/// Ports of one `multiport` match.
const PORTS: usize = 15;
/// The longest comment in bytes (`XT_MAX_COMMENT_LEN` less the NUL).
const LONGEST_COMMENT: usize = 255;

/// What of one family leads to a container.
#[derive(Debug, Clone, Copy)]
pub struct HostPorts<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// The container's address with its subnet's prefix length.
    pub pod: IpNetwork,
    /// All mappings of the attachment, of both families: the ports of all are named.
    pub mappings: &'a [Mapping],
    /// Which connections are masqueraded.
    pub masquerading: Masquerading<'a>,
    /// What else a packet must be like, in iptables' words.
    pub conditions: &'a [String],
}

/// Which connections are masqueraded, and by what mark.
#[derive(Debug, Clone, Copy)]
pub enum Masquerading<'a> {
    /// None.
    None,
    /// Those from the container's own subnet and, of IPv4, from the host's loopback; or all.
    By {
        /// All of them.
        all: bool,
        /// The mark.
        mark: Mark<'a>,
    },
}

/// How connections are marked that are to be masqueraded.
#[derive(Debug, Clone, Copy)]
pub enum Mark<'a> {
    /// By this bit of the packet mark.
    Bit(u8),
    /// By the operator's own chain, which is there and is not touched.
    Chain(&'a str),
}

/// A rule in the form that iptables-save prints, as far as it is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    chain: String,
    specification: String,
    /// Conditions of the operator's, which may be printed in other words.
    conditions: Vec<String>,
    target: String,
}

impl HostPorts<'_> {
    fn family(&self) -> Family {
        Family::of(self.pod.ip())
    }

    fn chain(&self) -> String {
        names::chain_name(&self.owner.network, &self.owner.container_id)
    }

    /// What the jumps say of the owner.
    fn comment(&self) -> String {
        let Owner { network, container_id, .. } = self.owner;
        let mut comment = format!("dnat name: \"{network}\" id: \"{container_id}\"");
        if comment.len() > LONGEST_COMMENT {
            // Names are ASCII.
            comment.truncate(LONGEST_COMMENT.saturating_sub(3));
            comment.push_str("...");
        }
        comment
    }

    /// The rules that attachments share. Those of the first list are put before all others.
    fn shared(&self) -> (Vec<Rule>, Vec<Rule>) {
        let mut last = Vec::new();
        let mut first = Vec::new();
        if let Masquerading::By { mark: Mark::Bit(bit), .. } = self.masquerading {
            let mark = format!("{0:#x}/{0:#x}", 1u32.wrapping_shl(bit.into()));
            last.push(Rule::new(
                SET_MARK,
                "-m comment --comment \"CNI portfwd masquerade mark\"",
                &format!("MARK --set-xmark {mark}"),
            ));
            last.push(Rule::new(MASQUERADE, &format!("-m mark --mark {mark}"), "MASQUERADE"));
            first.push(Rule::new(
                "POSTROUTING",
                "-m comment --comment \"CNI portfwd requiring masquerade\"",
                MASQUERADE,
            ));
        }
        for hook in ["PREROUTING", "OUTPUT"] {
            last.push(Rule::new(hook, "-m addrtype --dst-type LOCAL", ALL));
        }
        (first, last)
    }

    /// The jumps to the attachment's chain: for each protocol one for fifteen ports.
    fn jumps(&self) -> Vec<Rule> {
        let mut protocols: Vec<_> = self.mappings.iter().map(|one| one.protocol.name()).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let mut rules = Vec::new();
        let comment = quoted(&self.comment());
        for protocol in protocols {
            let of = self.mappings.iter().filter(|one| one.protocol.name() == protocol);
            let ports: Vec<_> = of.map(|one| one.host_port.to_string()).collect();
            for ports in ports.chunks(PORTS) {
                let specification = format!(
                    "-p {protocol} -m comment --comment {comment} -m multiport --dports {}",
                    ports.join(",")
                );
                let conditions = self.conditions.to_vec();
                let rule = Rule::new(ALL, &specification, &self.chain());
                push_new(&mut rules, Rule { conditions, ..rule });
            }
        }
        rules
    }

    /// The rules of the attachment's chain.
    fn own(&self) -> Vec<Rule> {
        let ip = self.pod.ip();
        let chain = self.chain();
        let mut rules = Vec::new();
        for mapping in self.mappings.iter().filter(|mapping| mapping.concerns(ip)) {
            let at = mapping.only_at();
            let length = if ip.is_ipv4() { 32 } else { 128 };
            let at = at.map(|at| format!("-d {at}/{length} ")).unwrap_or_default();
            let protocol = mapping.protocol;
            let base = format!("{at}-p {protocol} -m {protocol} --dport {}", mapping.host_port);
            if let Masquerading::By { all, mark } = self.masquerading {
                let target = match mark {
                    Mark::Bit(_) => SET_MARK,
                    Mark::Chain(chain) => chain,
                };
                let near = format!("-s {}/{} ", self.pod.network(), self.pod.prefix());
                let sources: &[&str] = match (all, ip.is_ipv4()) {
                    (true, _) => &[""],
                    (false, true) => &[&near, "-s 127.0.0.1/32 "],
                    (false, false) => &[&near],
                };
                for source in sources {
                    push_new(&mut rules, Rule::new(&chain, &format!("{source}{base}"), target));
                }
            }
            let to = if ip.is_ipv4() { ip.to_string() } else { format!("[{ip}]") };
            let target = format!("DNAT --to-destination {to}:{}", mapping.container_port);
            push_new(&mut rules, Rule::new(&chain, &base, &target));
        }
        rules
    }
}

impl Rule {
    fn new(chain: &str, specification: &str, target: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            specification: specification.to_owned(),
            conditions: Vec::new(),
            target: target.to_owned(),
        }
    }

    /// Its specification, as iptables-restore reads it after `-A CHAIN`.
    fn text(&self) -> String {
        let mut text = self.specification.clone();
        for word in &self.conditions {
            text.push(' ');
            text.push_str(&quoted(word));
        }
        text.push_str(" -j ");
        text.push_str(&self.target);
        text
    }
}

/// As with the reference plugin, a rule that is there already is not put a second time.
fn push_new(rules: &mut Vec<Rule>, rule: Rule) {
    if !rules.contains(&rule) {
        rules.push(rule);
    }
}

/// Makes the rules of an attachment, of each family that it has an address of: with one run of
/// iptables-restore, and of iptables-save before it. What is left of an attachment of the same name
/// is replaced.
///
/// # Errors
/// [`Error::PortTaken`] when another attachment has one of the ports; when the programs are not
/// there or refuse. In a family that was done before, the rules stay.
pub fn add(wanted: &[HostPorts<'_>]) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let _lock = iptables::lock()?;
    let mut tables = Vec::with_capacity(wanted.len());
    for ports in wanted {
        let table = read(ports)?;
        found::refuse_taken(ports, &table)?;
        tables.push(table);
    }
    for (ports, mut table) in wanted.iter().zip(tables) {
        for attempt in 1.. {
            let input = format!("*{TABLE}\n{}COMMIT\n", input::of(ports, &table));
            match ports.family().restore(&input, NEEDED_FOR) {
                Ok(()) => break,
                // Another program may have made a chain since it was looked for: look again.
                Err(error) if attempt < ATTEMPTS => log::debug!("{error}"),
                Err(error) => return Err(error.into()),
            }
            table = read(ports)?;
        }
    }
    Ok(())
}

/// What of the rules of an attachment is missing, in words; `None` when its chain is not there at
/// all.
///
/// # Errors
/// When the programs are not there or refuse.
pub fn missing(wanted: &HostPorts<'_>) -> Result<Option<Vec<String>>, Error> {
    let table = read(wanted)?;
    Ok(table.has_chain(&wanted.chain()).then(|| found::missing(wanted, &table)))
}

/// What is said of an attachment whose chain is not there.
pub fn absent(wanted: &HostPorts<'_>) -> String {
    format!("{} has no chain {} in table {TABLE}", program(wanted.family()), wanted.chain())
}

fn read(wanted: &HostPorts<'_>) -> Result<NatTable, Error> {
    Ok(NatTable::read(wanted.family(), &|name| input::is_ours(name), NEEDED_FOR)?)
}

fn program(family: Family) -> &'static str {
    if family == Family::Ipv4 { "iptables" } else { "ip6tables" }
}
