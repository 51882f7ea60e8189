//! `causeway leases`: how full the ranges of host-local are, who holds what, and giving back what
//! nobody holds.

mod release;

use crate::exit_code::ExitCode;
use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::attach::conf_dir;
use super::error::Error;
use super::list::or_dash;
use super::output::{self, BAD, Format, GOOD, WARNING, styled, tell};
use crate::inventory::{Inventory, Lease, NetworkLeases, Places, RangeUse, Standing};

/// How many holes a table shows of one range.
const HOLES: usize = 3;

/// Show the addresses that host-local has leased, and give back those that nobody holds
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  causeway leases                        every network
  causeway leases pods --ranges          how full the ranges of one are
  causeway leases release --leaked -n    which leases nobody holds
  causeway leases release 10.88.0.7

Read from /var/lib/cni/networks and from wherever `dataDir` of a configuration says, whichever
program made them. A lease is leaked when nothing tells of its holder, when the holder's namespace is
gone, or when the file is empty. FREE is what can be handed out now; HOLES are free addresses with
leases on both sides, which host-local comes back to only after it has gone around."
)]
pub struct Leases {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only those of one network
    #[arg(value_name = "NETWORK")]
    network: Option<String>,
    /// Only the ranges, not each lease
    #[arg(long)]
    ranges: bool,
    /// Only leases that nobody holds, or that need to be looked at
    #[arg(long, conflicts_with = "ranges")]
    leaked: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give leases back that nobody holds
    Release(release::Release),
}

impl Leases {
    /// Prints or releases.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        if let Some(Command::Release(release)) = self.command {
            return release.run();
        }
        let inventory = Inventory::of_node(&Places::of_node(Some(&conf_dir()?))?)?;
        for problem in &inventory.problems {
            tell(problem);
        }
        let wanted = self.network.as_deref();
        let networks: Vec<_> = inventory
            .leases
            .iter()
            .filter(|one| wanted.is_none_or(|name| one.network == name))
            .collect();
        if let (Some(name), true) = (wanted, networks.is_empty()) {
            return Err(Error::NoLeases(name.to_owned()));
        }
        match self.output {
            Format::Json => {
                let all: Vec<_> = networks.into_iter().map(|one| self.in_json(one)).collect();
                output::print_json(&Value::from(all))?;
            }
            Format::Text => output::print(&self.text(&networks))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn shown<'l>(&self, network: &'l NetworkLeases) -> Vec<&'l Lease> {
        let is_shown = |lease: &&Lease| !self.leaked || lease.standing != Standing::Held;
        network.leases.iter().filter(is_shown).collect()
    }

    fn text(&self, networks: &[&NetworkLeases]) -> String {
        let mut text = String::new();
        if !self.leaked {
            let mut table = output::table(&[
                "NETWORK",
                "RANGE",
                "ADDRESSES",
                "USED",
                "FREE",
                "LEAKED",
                "HOLES",
            ]);
            for network in networks {
                for range in network.ranges() {
                    table.add_row(row_of(network, &range));
                }
                if network.sets.is_empty() {
                    let leaked = network.leases.iter().filter(|one| is_leaked(one)).count();
                    table.add_row([
                        network.network.clone(),
                        "no configuration has it".to_owned(),
                        "-".to_owned(),
                        network.leases.len().to_string(),
                        "-".to_owned(),
                        leaked.to_string(),
                        "-".to_owned(),
                    ]);
                }
            }
            text.push_str(&output::lines(&table));
            for network in networks {
                let outside = network.outside();
                let count = match outside.len() {
                    0 => continue,
                    1 => "1 lease is".to_owned(),
                    count => format!("{count} leases are"),
                };
                let addresses = outside.iter().map(|one| one.stored.address.to_string()).collect();
                let _ = writeln!(
                    text,
                    "{}: {count} of no range of the configuration: {}",
                    network.network,
                    in_words(addresses)
                );
            }
        }
        if self.ranges {
            return text;
        }
        let mut table =
            output::table(&["ADDRESS", "NETWORK", "CONTAINER", "INTERFACE", "POD", "AGE", "STATE"]);
        for network in networks {
            for lease in self.shown(network) {
                let owner = lease.owner.as_ref();
                table.add_row([
                    lease.stored.address.to_string(),
                    network.network.clone(),
                    or_dash(owner.map(|owner| owner.container_id.as_str())),
                    or_dash(owner.map(|owner| owner.ifname.as_str())),
                    or_dash(lease.pod.as_deref()),
                    or_dash(since(lease).map(output::age).as_deref()),
                    standing(lease.standing),
                ]);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&output::lines(&table));
        text
    }

    fn in_json(&self, network: &NetworkLeases) -> Value {
        let ranges: Vec<_> = network
            .ranges()
            .iter()
            .map(|range| {
                let holes: Vec<_> = range.holes.iter().map(|(first, last)| [first, last]).collect();
                json!({
                    "set": range.set,
                    "range": range.range,
                    // As text: a range of IPv6 has more than a number of JSON holds.
                    "addresses": range.size.to_string(),
                    "free": range.free().to_string(),
                    "used": range.used,
                    "leaked": range.leaked,
                    "holes": holes,
                })
            })
            .collect();
        let leases: Vec<_> = self.shown(network).into_iter().map(lease_in_json).collect();
        json!({
            "network": network.network,
            "directory": network.path,
            "ranges": ranges,
            "leases": if self.ranges { Value::Null } else { Value::from(leases) },
        })
    }
}

fn row_of(network: &NetworkLeases, range: &RangeUse) -> [String; 7] {
    let free = range.free();
    let holes: Vec<_> = range
        .holes
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    [
        network.network.clone(),
        range.range.clone(),
        many(range.size),
        range.used.to_string(),
        many(free),
        range.leaked.to_string(),
        in_words(holes),
    ]
}

/// A number that people can read: exact up to ten millions, above it the power of two that is nearest.
fn many(number: u128) -> String {
    if number < 10_000_000 {
        return number.to_string();
    }
    let below = number.ilog2();
    let is_nearer_to_next = number >> (below - 1) & 1 == 1;
    format!("~2^{}", below + u32::from(is_nearer_to_next))
}

fn in_words(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(HOLES);
    items.truncate(HOLES);
    match (items.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (_, 0) => items.join(" "),
        _ => format!("{} and {more} more", items.join(" ")),
    }
}

fn is_leaked(lease: &Lease) -> bool {
    matches!(lease.standing, Standing::Leaked(_))
}

fn since(lease: &Lease) -> Option<u64> {
    let written = lease.stored.written?;
    Some(written.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

fn standing(standing: Standing) -> String {
    match standing {
        Standing::Held => styled(GOOD, "held"),
        Standing::Leaked(leak) => styled(WARNING, &format!("leaked ({leak})")),
        Standing::Damaged => styled(BAD, "damaged"),
    }
}

fn lease_in_json(lease: &Lease) -> Value {
    let (state, why) = match lease.standing {
        Standing::Held => ("held", None),
        Standing::Leaked(leak) => ("leaked", Some(leak.to_string())),
        Standing::Damaged => ("damaged", None),
    };
    json!({
        "address": lease.stored.address,
        "containerID": lease.owner.as_ref().map(|owner| &owner.container_id),
        "ifname": lease.owner.as_ref().map(|owner| &owner.ifname),
        "pod": lease.pod,
        "since": since(lease),
        "state": state,
        "why": why,
    })
}
