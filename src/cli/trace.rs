//! `causeway trace`: where a packet of a container would be stopped.

use crate::exit_code::ExitCode;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use clap::Args;
use serde_json::json;

use super::doctor::Where;
use super::output::{self, BAD, Format, GOOD, WARNING, styled};
use crate::inventory::{Attachment, Inventory};
use crate::kernel::port::Transport;
use crate::trace::{self, Question, Report, State, Target};

/// Follow a packet through links, routes and rules, and name the first thing that stops it
///
/// Nothing is sent: the state on the way is read. The exit code is 0 when nothing stops the packet, or
/// when what could be told says so, and 1 when something does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Trace {
    /// Whose packet: the beginning of a container ID, a pod's namespace/name or name, or the name of its
    /// network namespace
    #[arg(value_name = "ID")]
    id: String,
    /// Where it goes: ADDRESS, ADDRESS:PORT, pod:ID or pod:ID:PORT
    #[arg(long, value_name = "WHERE", required_unless_present = "host_port")]
    to: Option<String>,
    /// Instead, from outside to this port of the host, which leads to the container
    #[arg(long, value_name = "PORT", conflicts_with = "to")]
    host_port: Option<u16>,
    /// The protocol: tcp, udp or sctp
    #[arg(long, value_name = "NAME", default_value = "tcp", value_parser = transport)]
    proto: Transport,
    /// The interface, for a container with several [default: eth0, or the first]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Use IPv6 where both families would do
    #[arg(long, short = '6')]
    ipv6: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    where_: Where,
}

const EXAMPLES: &str = "\
Examples:
  causeway trace 1f3a --to 1.1.1.1:443        can that container reach the world?
  causeway trace 1f3a --to pod:77b0:80        can it reach that other one's port 80?
  causeway trace 1f3a --host-port 8080        can somebody outside reach its mapped port?";

fn transport(name: &str) -> Result<Transport, String> {
    Transport::named(name).ok_or_else(|| "it is none of tcp, udp and sctp".to_owned())
}

/// Why a packet could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The attachments cannot be read.
    #[error(transparent)]
    Inventory(#[from] crate::inventory::Error),
    /// The kernel cannot be asked.
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    /// Nobody is called so.
    #[error(
        "no attachment is of a container, a pod or a network namespace {0:?}; `causeway list` shows all"
    )]
    Nobody(String),
    /// Several are.
    #[error("{id:?} may be any of {}; write more of it", .all.join(", "))]
    Several {
        /// What was asked for.
        id: String,
        /// Who it may be.
        all: Vec<String>,
    },
    /// The target cannot be understood.
    #[error(
        "--to {0:?} is neither an address, nor ADDRESS:PORT, nor pod:ID, nor pod:ID:PORT (as in pod:default/web-0:80)"
    )]
    Target(String),
    /// The output could not be written.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
}

impl Trace {
    /// Follows the packet and prints the way.
    ///
    /// # Errors
    /// When the question makes no sense, or the node cannot be looked at.
    pub fn run(self) -> Result<ExitCode, Error> {
        let places = self.where_.places()?;
        let inventory = Inventory::of_node(&places.inventory)?;
        let from = find(&inventory, &self.id, self.interface.as_deref())?;
        let (to, port) = match (&self.to, self.host_port) {
            (_, Some(port)) => (Target::HostPort(port), None),
            (Some(to), None) => target(&inventory, to)?,
            (None, None) => return Err(Error::Target(String::new())),
        };
        let question = Question { from, to, transport: self.proto, port, v6: self.ipv6 };
        let report = trace::follow(&inventory, question)?;
        let text = match self.output {
            Format::Text => for_people(&report),
            Format::Json => format!("{:#}\n", json!(report)),
        };
        output::print(&text).map_err(Error::Stdout)?;
        let stopped = report.verdict == State::Stopped;
        Ok(if stopped { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The attachment of a container: by what [`Inventory::called`] knows, and by interface.
fn find<'i>(
    inventory: &'i Inventory,
    id: &str,
    interface: Option<&str>,
) -> Result<&'i Attachment, Error> {
    let mut found = inventory.called(id);
    found.retain(|one| interface.is_none_or(|name| one.owner.ifname == name));
    let Some(first) = found.first().copied() else { return Err(Error::Nobody(id.to_owned())) };
    let other = found.iter().any(|one| one.owner.container_id != first.owner.container_id);
    if id.is_empty() || other {
        let all = found.iter().map(|one| one.owner.container_id.clone()).collect();
        return Err(Error::Several { id: id.to_owned(), all });
    }
    Ok(found.iter().copied().find(|one| one.owner.ifname == "eth0").unwrap_or(first))
}

fn target<'i>(inventory: &'i Inventory, text: &str) -> Result<(Target<'i>, Option<u16>), Error> {
    if let Some(rest) = text.strip_prefix("pod:") {
        let (id, port) = match rest.rsplit_once(':') {
            Some((id, port)) => {
                (id, Some(port.parse().map_err(|_| Error::Target(text.to_owned()))?))
            }
            None => (rest, None),
        };
        return Ok((Target::Attachment(find(inventory, id, None)?), port));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((Target::Address(address), None));
    }
    let with_port: SocketAddr = text.parse().map_err(|_| Error::Target(text.to_owned()))?;
    Ok((Target::Address(with_port.ip()), Some(with_port.port())))
}

fn for_people(report: &Report) -> String {
    let mut text = format!("{}\n", report.question);
    let width = report.hops.iter().map(|hop| hop.place.chars().count()).max().unwrap_or_default();
    for hop in &report.hops {
        let mark = match hop.state {
            State::Passed => styled(GOOD, "✓"),
            State::Stopped => styled(BAD, "✗"),
            State::Unknown => styled(WARNING, "?"),
            State::Note => "·".to_owned(),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{mark} {:width$}  {}", hop.place, hop.what);
        if let Some(advice) = &hop.advice {
            let _ = writeln!(text, "  {:width$}  do: {advice}", "");
        }
    }
    text.push_str(match report.verdict {
        State::Passed | State::Note => "Nothing on this node stops it.\n",
        State::Stopped => "That stops it.\n",
        State::Unknown => "Nothing that can be told stops it.\n",
    });
    text
}
