//! `causeway gc` and `causeway status`: the verbs about a whole network.

use crate::exit_code::ExitCode;

use clap::Args;

use super::attach::Surroundings;
use super::error::Error;
use super::output::{self, tell};
use crate::inventory::{Attachment, Inventory, Life, Places, State};
use crate::libcni::{self, Cached};
use crate::protocol::config::ValidAttachment;
use crate::protocol::request::Verb;

/// Remove what is left of attachments that are gone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway gc pods --dry-run     what would go
  causeway gc pods               attachments whose namespace is gone, and their leases and rules
  causeway gc pods --all         every attachment, as `cnitool gc` does

What goes is detached by DEL, with its kept result if there is one; then the plugins are asked to GC
(from cniVersion 1.1.0 on) with the list of the attachments that stay. NETCONFPATH and CNI_PATH as for
attach.")]
pub struct Gc {
    /// The network's name
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Remove every attachment of the network, alive or not
    #[arg(long)]
    all: bool,
    /// Let this one go as well, although its namespace is there
    #[arg(long, value_name = "ID/IFNAME")]
    drop: Vec<String>,
    /// Only say what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Ask the plugins whether they can attach
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  causeway status pods && echo ready

NETCONFPATH and CNI_PATH as for attach.")]
pub struct Status {
    /// The network's name
    #[arg(value_name = "NETWORK")]
    network: String,
}

impl Gc {
    /// Removes what no valid attachment owns.
    ///
    /// # Errors
    /// [`Error`], with all that failed; the rest is gone.
    pub fn run(self) -> Result<ExitCode, Error> {
        let here = Surroundings::read()?;
        let list = here.network(&self.network)?;
        let inventory = Inventory::of_node(&Places::of_node(Some(&here.conf_dir))?)?;
        let of_network = inventory.attachments.iter().filter(|one| one.owner.network == list.name);
        let (stays, goes): (Vec<_>, Vec<_>) = of_network.partition(|one| self.stays(one));
        let valid: Vec<_> = stays
            .iter()
            .map(|one| ValidAttachment {
                container_id: one.owner.container_id.clone(),
                ifname: one.owner.ifname.clone(),
            })
            .collect();
        let verb = if self.dry_run { "would remove" } else { "removing" };
        let mut text = String::new();
        for one in &goes {
            text.push_str(&format!("{verb} {} ({})\n", one.owner.text(), one.state));
        }
        text.push_str(&match stays.len() {
            1 => "1 attachment stays\n".to_owned(),
            count => format!("{count} attachments stay\n"),
        });
        output::print(&text)?;
        if list.disable_gc {
            tell(&format!("{} says disableGC; nothing was removed", list.path.display()));
            return Ok(ExitCode::SUCCESS);
        }
        if list.version()? < Verb::Gc.least_version() {
            let version = &list.cni_version;
            tell(&format!(
                "cniVersion {version} has no GC (it came with 1.1.0), so nothing else was looked for"
            ));
        }
        if !self.dry_run {
            // A lease that names no interface is of no attachment that DEL could name.
            let named = goes.iter().filter(|one| !one.owner.ifname.is_empty());
            let stale: Vec<_> = named.map(|one| (detached(one), one.cached.clone())).collect();
            here.runtime.gc(&list, &stale, &valid)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn stays(&self, one: &Attachment) -> bool {
        let named = format!("{}/{}", one.owner.container_id, one.owner.ifname);
        // A namespace that could not be looked at may be there.
        let is_dead = one.life == Life::Gone || one.state == State::LeaseOnly;
        !(self.all || is_dead || self.drop.contains(&named))
    }
}

/// How plugins are called to detach it: as they were to attach it, if that is known. A runtime that was killed
/// while it attached has kept no result.
fn detached(one: &Attachment) -> libcni::Attachment {
    one.cached.as_ref().map(Cached::attachment).unwrap_or_else(|| libcni::Attachment {
        container_id: one.owner.container_id.clone(),
        netns: one.netns.clone(),
        ifname: one.owner.ifname.clone(),
        args: Vec::new(),
        capability_args: serde_json::Map::new(),
    })
}

impl Status {
    /// Asks every plugin.
    ///
    /// # Errors
    /// The first that cannot serve an ADD.
    pub fn run(self) -> Result<ExitCode, Error> {
        let here = Surroundings::read()?;
        let list = here.network(&self.network)?;
        output::print(&if here.runtime.status(&list)? {
            format!("{} is ready\n", list.name)
        } else {
            format!(
                "{} was not asked: cniVersion {} has no STATUS; it came with 1.1.0\n",
                list.name, list.cni_version
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
