//! `causeway repair`: puts back what recorded attachments lack, and removes what nobody owns.

use crate::exit_code::ExitCode;

use clap::Args;
use serde_json::json;

use super::doctor::{Error, Where, deeds_json, done};
use super::output::{self, Format};
use crate::diagnosis::{self, Fix, Places, mending};
use crate::inventory::Inventory;

/// Put back what attachments lack: rules, links, addresses and routes that were removed under them
///
/// Everything that the records of attachments tell of is looked at as CHECK does; what is as it should
/// be is not touched. With --leftovers it removes instead what belongs to no attachment any more:
/// links, rules, leases, records of namespaces that are gone, and names of namespaces.
/// The exit code is 1 when something could not be done.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway repair             every attachment
  causeway repair 0f3c        those of one container
  causeway repair --leftovers")]
pub struct Repair {
    /// Only containers whose ID begins so
    #[arg(value_name = "ID", conflicts_with = "leftovers")]
    ids: Vec<String>,
    /// Remove what nobody owns any more, instead
    #[arg(long)]
    leftovers: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    where_: Where,
}

impl Repair {
    /// Does it, and says what was done.
    ///
    /// # Errors
    /// When the node cannot be looked at.
    pub fn run(self) -> Result<ExitCode, Error> {
        let places = self.where_.places()?;
        require_containers(&self.ids, &places)?;
        let deeds = if self.leftovers {
            let mut findings = diagnosis::diagnose(&diagnosis::read(&places)?);
            findings.retain(|finding| matches!(finding.fix, Some(Fix::Remove(_))));
            mending::mend(&places, &findings)
        } else {
            mending::put_back(&places, &|record| {
                let id = &record.owner.container_id;
                self.ids.is_empty() || self.ids.iter().any(|wanted| id.starts_with(wanted))
            })
        };
        let text = match self.output {
            Format::Json => format!("{:#}\n", json!({"done": deeds_json(&deeds)})),
            Format::Text if deeds.is_empty() => "Nothing is to be done.\n".to_owned(),
            Format::Text => done(&deeds),
        };
        output::print(&text).map_err(Error::Stdout)?;
        let all_done = deeds.iter().all(|deed| deed.failure.is_none());
        Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Makes sure that there is an attachment of each container that was named.
fn require_containers(ids: &[String], places: &Places) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let inventory = Inventory::of_node(&places.inventory)?;
    match ids.iter().find(|id| inventory.of_container(id).is_empty()) {
        Some(id) => Err(Error::Unknown(id.clone())),
        None => Ok(()),
    }
}
