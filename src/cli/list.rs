//! `causeway list`: every attachment of the node.

use crate::exit_code::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::attach::conf_dir;
use super::error::Error;
use super::known_networks;
use super::output::{self, BAD, Format, GOOD, WARNING, styled, tell};
use crate::inventory::{Attachment, Inventory, Life, Places, State};

/// How many characters of a container ID a table shows; as many tell them apart.
const SHOWN: usize = 20;

/// List the attachments of this node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway list
  causeway list --network pods --output json | jq '.[].containerID'

What is attached is read from causeway's records, the results that runtimes keep, and host-local's
leases, also of other plugins. STATE:
  attached        as far as can be told without looking at each part; `causeway show` does
  half made       an ADD that is under way, or was killed
  link gone       its link on the host is gone
  namespace gone  the container is gone, and nobody called DEL; see `causeway gc`
  lease only      addresses are leased to it, and nothing else tells of it; see `causeway leases`")]
pub struct List {
    /// Only those of one network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Container IDs as they are, not cut off
    #[arg(long)]
    no_trunc: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl List {
    /// Prints it.
    ///
    /// # Errors
    /// [`Error`] when the node cannot be read.
    pub fn run(self) -> Result<ExitCode, Error> {
        let inventory = Inventory::of_node(&Places::of_node(Some(&conf_dir()?))?)?;
        for problem in &inventory.problems {
            tell(problem);
        }
        let wanted = self.network.as_deref();
        // To a program an empty list is an answer.
        if self.output == Format::Text {
            known_networks::require(wanted, &inventory)?;
        }
        let is_wanted = |one: &&Attachment| wanted.is_none_or(|name| one.owner.network == name);
        let attachments: Vec<_> = inventory.attachments.iter().filter(is_wanted).collect();
        match self.output {
            Format::Json => {
                let all: Vec<_> = attachments.into_iter().map(in_json).collect();
                output::print_json(&Value::from(all))?;
            }
            Format::Text => output::print(&self.table(&attachments))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, attachments: &[&Attachment]) -> String {
        let mut table = output::table(&[
            "CONTAINER",
            "POD",
            "NETWORK",
            "INTERFACE",
            "ADDRESSES",
            "HOST LINK",
            "AGE",
            "STATE",
        ]);
        for one in attachments {
            let id = &one.owner.container_id;
            let id = if self.no_trunc { id.clone() } else { id.chars().take(SHOWN).collect() };
            table.add_row([
                id,
                or_dash(one.pod.as_deref()),
                one.owner.network.clone(),
                or_dash(Some(&one.owner.ifname)),
                or_dash(Some(&addresses(one))),
                or_dash(one.host_link.as_ref().map(|link| link.name.as_str())),
                or_dash(one.since.map(output::age).as_deref()),
                state(one.state),
            ]);
        }
        output::lines(&table)
    }
}

/// An attachment's addresses, separated by commas.
pub(super) fn addresses(one: &Attachment) -> String {
    one.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A state in its colour.
pub(super) fn state(state: State) -> String {
    let style = match state {
        State::Attached => GOOD,
        State::HalfMade | State::LeaseOnly => WARNING,
        State::LinkGone | State::NamespaceGone => BAD,
    };
    styled(style, &state.to_string())
}

/// A text, or a dash for none: a column must not be empty, for `awk`.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// An attachment for programs. Keys that are not known are null.
pub(super) fn in_json(one: &Attachment) -> Value {
    let inode = match one.life {
        Life::Alive(inode) => Some(inode),
        Life::Gone | Life::Unknown => None,
    };
    json!({
        "containerID": one.owner.container_id,
        "network": one.owner.network,
        "ifname": one.owner.ifname,
        "pod": one.pod,
        "addresses": one.addresses,
        "hostLink": one.host_link.as_ref().map(|link| json!({
            "name": link.name,
            "index": link.index,
        })),
        "netns": one.netns,
        "netnsInode": inode,
        "since": one.since,
        "state": one.state,
        "plugins": one.plugins(),
        "result": one.cached.as_ref().map(|cached| &cached.path),
        "leased": one.leased,
    })
}
