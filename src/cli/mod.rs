//! What people run; see `causeway --help`.

pub mod dhcp;
pub mod fuse;
pub mod lint;
pub mod netns;
pub mod schema;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
  causeway netns add blue          make a network namespace, as `ip netns` does
  causeway netns exec blue ip a    run a command inside
  causeway fuse 10-net.conflist    have one process run the whole list

What an ADD would do, without doing it (configuration on stdin):
  CNI_COMMAND=ADD CNI_CONTAINERID=try CNI_NETNS=/run/netns/blue CNI_IFNAME=eth0 \\
    causeway --explain <net.json";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list, enter and delete network namespaces.
    Netns(netns::Netns),
    /// Put all plugins of a configuration list into one, which runs them in one process
    Fuse(fuse::Fuse),
    /// Give every plugin of a fused configuration list its own entry again
    Unfuse(fuse::Fuse),
    /// Get addresses from DHCP servers for the plugin dhcp
    Dhcp(dhcp::Dhcp),
    /// Check configuration files as a runtime would load them, against each other and the node
    Lint(lint::Lint),
    /// Print the JSON Schema of configurations, for editors and checkers
    Schema(schema::Schema),
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
    let done = match arguments.command {
        Command::Netns(netns) => netns.run().map_err(|error| error.to_string()),
        Command::Fuse(fuse) => fuse.fuse().map_err(|error| error.to_string()),
        Command::Unfuse(fuse) => fuse.unfuse().map_err(|error| error.to_string()),
        Command::Dhcp(dhcp) => dhcp.run().map_err(|error| error.to_string()),
        Command::Lint(lint) => lint.run().map_err(|error| error.to_string()),
        Command::Schema(schema) => schema.run().map_err(|error| error.to_string()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("causeway: {error}");
        ExitCode::FAILURE
    })
}
