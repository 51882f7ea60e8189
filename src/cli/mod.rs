//! What people run; see `causeway --help`.

pub mod attach;
pub mod dhcp;
pub mod doctor;
pub mod error;
pub mod explain;
pub mod fuse;
pub mod graph;
pub mod install;
mod known_networks;
pub mod leases;
pub mod lint;
pub mod list;
pub mod metrics;
pub mod netns;
pub mod network;
pub mod output;
pub mod repair;
pub mod schema;
pub mod show;
pub mod trace;
pub mod waiting;
pub mod watch;

use crate::exit_code::ExitCode;
use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, Parser, Subcommand};

/// A CNI plugin in one process. A runtime calls it with CNI_COMMAND in the environment and a
/// network configuration on stdin; people call it with the commands below.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  causeway install                 put this program in place as the node's plugins
  causeway attach pods new         try a network in a new namespace
  causeway list                    what is attached on this node
  causeway show 0f3c               everything that a container's attachment owns, looked at
  causeway graph -o node.svg       the node's network as a picture
  causeway watch                   attachments coming and going, and what they carry
  causeway netns add blue          make a network namespace, as `ip netns` does
  causeway netns exec blue ip a    run a command inside
  causeway fuse 10-net.conflist    have one process run the whole list
  causeway doctor                  say what is wrong, why, and what mends it
  causeway trace 1f3a --to 1.1.1.1:443
                                   say where a packet of a pod would be stopped
  causeway lint                    check the node's configurations
  causeway explain 10-net.conflist what an ADD would do, without doing it";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list, enter and delete network namespaces.
    Netns(netns::Netns),
    /// Attach a namespace to a network, with any configuration and plugins
    Attach(attach::Attach),
    /// Ask the plugins whether an attachment is as it should be
    Check(attach::Check),
    /// Detach a namespace from a network
    Detach(attach::Detach),
    /// Remove what is left of attachments that are gone
    Gc(network::Gc),
    /// Ask the plugins of a network whether they can attach
    Status(network::Status),
    /// List the attachments of this node
    List(list::List),
    /// Show what an attachment owns, and whether it is as it should be
    Show(show::Show),
    /// Show the addresses that host-local has leased, and give back those that nobody holds
    Leases(leases::Leases),
    /// Put all plugins of a configuration list into one, which runs them in one process
    Fuse(fuse::Fuse),
    /// Give every plugin of a fused configuration list its own entry again
    Unfuse(fuse::Fuse),
    /// Get addresses from DHCP servers for the plugin dhcp
    Dhcp(dhcp::Dhcp),
    Doctor(doctor::Doctor),
    Repair(repair::Repair),
    Trace(trace::Trace),
    /// Put this program and a link for each plugin type into the node's folder of plugins
    Install(install::Install),
    /// Show what an ADD would do, and what of the kernel it needs; nothing is changed
    Explain(explain::Explain),
    /// Check configuration files as a runtime would load them, against each other and the node
    Lint(lint::Lint),
    /// Draw the node's network: SVG, DOT or Mermaid
    Graph(graph::Graph),
    /// Watch attachments come and go, and what they carry
    Watch(watch::Watching),
    /// Print counters in Prometheus' text format: attachments, leases, calls and how long they took
    Metrics(metrics::Metrics),
    /// Print the JSON Schema of configurations, for editors and checkers
    Schema(schema::Schema),
}

impl Command {
    /// What a person waits for, of commands that may take longer than a second.
    fn takes_its_time(&self) -> Option<&'static str> {
        match self {
            Self::Attach(_) => Some("attaching"),
            Self::Check(_) => Some("checking"),
            Self::Detach(_) => Some("detaching"),
            Self::Gc(_) => Some("removing what is left"),
            Self::Status(_) => Some("asking the plugins"),
            Self::List(_) | Self::Show(_) | Self::Leases(_) => Some("reading what is attached"),
            Self::Doctor(_) | Self::Graph(_) => Some("looking at the node"),
            Self::Repair(_) => Some("repairing"),
            Self::Trace(_) => Some("tracing"),
            _ => None,
        }
    }
}

/// All commands and their options, as man pages and completions of shells are made of them.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the arguments name. Prints its own errors, to stderr.
///
/// Called by the name `dhcp`, as the reference's daemon is, it takes that command's arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name == "dhcp") {
        arguments.insert(1, "dhcp".into());
    }
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let _waiting = arguments.command.takes_its_time().map(waiting::Waiting::on);
    let done = match arguments.command {
        Command::Netns(netns) => netns.run().map_err(|error| error.to_string()),
        Command::Attach(attach) => attach.run().map_err(|error| error.to_string()),
        Command::Check(check) => check.run().map_err(|error| error.to_string()),
        Command::Detach(detach) => detach.run().map_err(|error| error.to_string()),
        Command::Gc(gc) => gc.run().map_err(|error| error.to_string()),
        Command::Status(status) => status.run().map_err(|error| error.to_string()),
        Command::List(list) => list.run().map_err(|error| error.to_string()),
        Command::Show(show) => show.run().map_err(|error| error.to_string()),
        Command::Leases(leases) => leases.run().map_err(|error| error.to_string()),
        Command::Fuse(fuse) => fuse.fuse().map_err(|error| error.to_string()),
        Command::Unfuse(fuse) => fuse.unfuse().map_err(|error| error.to_string()),
        Command::Doctor(doctor) => doctor.run().map_err(|error| error.to_string()),
        Command::Repair(repair) => repair.run().map_err(|error| error.to_string()),
        Command::Trace(trace) => trace.run().map_err(|error| error.to_string()),
        Command::Dhcp(dhcp) => dhcp.run().map_err(|error| error.to_string()),
        Command::Install(install) => install.run().map_err(|error| error.to_string()),
        Command::Explain(explain) => explain.run().map_err(|error| error.to_string()),
        Command::Lint(lint) => lint.run().map_err(|error| error.to_string()),
        Command::Graph(graph) => graph.run().map_err(|error| error.to_string()),
        Command::Watch(watch) => watch.run().map_err(|error| error.to_string()),
        Command::Metrics(metrics) => metrics.run().map_err(|error| error.to_string()),
        Command::Schema(schema) => schema.run().map_err(|error| error.to_string()),
    };
    done.unwrap_or_else(|error| {
        output::tell(&error);
        ExitCode::FAILURE
    })
}
