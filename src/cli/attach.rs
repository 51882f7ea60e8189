//! `causeway attach`, `check` and `detach`: an attachment by hand, with any configuration list and any
//! plugins, as a runtime would make it. Environment, container IDs and kept results are cnitool's, so
//! that either can finish what the other began.

pub(super) mod namespace;
mod surroundings;

use crate::exit_code::ExitCode;
use std::path::PathBuf;

use clap::Args;

use super::error::Error;
use super::output::{self, tell};
use crate::engine::Owner;
use crate::inventory::{Inventory, Places};
use crate::kernel::netns::{self, DIRECTORY};
use crate::libcni::attachment::cnitool_id;
use crate::libcni::runtime::Checked;
use crate::libcni::{self, Attachment, Cached, NetworkList, cache};
use crate::protocol::names;

use namespace::Target;
pub(super) use surroundings::{Surroundings, conf_dir};

/// Which attachment.
#[derive(Debug, Args)]
pub struct Which {
    /// The network's name, as its configuration in NETCONFPATH has it
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The interface's name in the container; without it CNI_IFNAME, or eth0
    #[arg(long, short, value_name = "NAME")]
    ifname: Option<String>,
    /// The container ID; without it what cnitool makes of the namespace's path
    #[arg(long, value_name = "ID")]
    container_id: Option<String>,
}

const ENVIRONMENT: &str = "\
Environment, as for cnitool:
  NETCONFPATH   the folder of configurations (/etc/cni/net.d)
  CNI_PATH      the folders of plugins (/opt/cni/bin); causeway's own need not be there
  CNI_IFNAME    the interface's name (eth0)
  CNI_ARGS      KEY=value;KEY=value for the plugins
  CAP_ARGS      JSON for the capabilities of plugins, such as
                {\"portMappings\": [{\"hostPort\": 8080, \"containerPort\": 80, \"protocol\": \"tcp\"}]}";

/// Attach a namespace to a network
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  causeway attach pods blue        the namespace that `ip netns` calls blue
  causeway attach pods new         a new one, whose name is said
  causeway attach pods pid:1234    that of a process
  NETCONFPATH=. causeway attach pods /run/netns/blue

{ENVIRONMENT}

Prints the result as JSON. When a plugin fails, those that were asked are asked to DEL, so that
nothing is left; --keep leaves it for a look."))]
pub struct Attach {
    #[command(flatten)]
    which: Which,
    /// A name below /run/netns, a path (with a '/'), pid:N, or `new`
    #[arg(value_name = "NETNS")]
    netns: String,
    /// When a plugin fails, leave what the others have made
    #[arg(long)]
    keep: bool,
}

/// Ask the plugins whether an attachment is as it should be
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  causeway check pods blue
  causeway check pods --container-id 0f3c… --ifname eth0

{ENVIRONMENT}"))]
pub struct Check {
    #[command(flatten)]
    which: Which,
    /// A name below /run/netns, a path (with a '/'), or pid:N; not needed with --container-id
    #[arg(value_name = "NETNS", required_unless_present = "container_id")]
    netns: Option<String>,
}

/// Detach a namespace from a network
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  causeway detach pods blue
  causeway detach pods causeway-1a2b3c4d --delete-netns
  causeway detach pods --container-id 0f3c… --ifname eth0

{ENVIRONMENT}

CNI_ARGS and CAP_ARGS need not be given again: they were kept with the result."))]
pub struct Detach {
    #[command(flatten)]
    which: Which,
    /// A name below /run/netns, a path (with a '/'), or pid:N; not needed with --container-id
    #[arg(value_name = "NETNS", required_unless_present = "container_id")]
    netns: Option<String>,
    /// Delete the namespace afterwards; only one below /run/netns
    #[arg(long)]
    delete_netns: bool,
    /// Ask the plugins to DEL although nothing tells that this attachment was ever made
    #[arg(long)]
    force: bool,
}

impl Which {
    fn ifname(&self) -> Result<String, Error> {
        match &self.ifname {
            Some(name) => Ok(name.clone()),
            None => {
                let name = surroundings::variable("CNI_IFNAME")?;
                Ok(name.unwrap_or_else(|| "eth0".to_owned()))
            }
        }
    }

    /// The attachment of one path of the namespace.
    fn owner(&self, netns: Option<&std::path::Path>) -> Result<Owner, Error> {
        let container_id = match (&self.container_id, netns) {
            (Some(id), _) => id.clone(),
            (None, Some(path)) => cnitool_id(path),
            (None, None) => String::new(),
        };
        let owner = Owner { network: self.network.clone(), container_id, ifname: self.ifname()? };
        let named = |what| move |problem| libcni::Error::Name { what, problem };
        names::network_name(&owner.network).map_err(named("the network's name"))?;
        names::container_id(&owner.container_id).map_err(named("the container ID"))?;
        names::interface_name(&owner.ifname).map_err(named("the interface's name"))?;
        Ok(owner)
    }
}

/// An attachment that was named, with what is kept of it.
struct Found {
    owner: Owner,
    netns: Option<PathBuf>,
    cached: Option<Cached>,
}

impl Found {
    /// By the namespace, or by the container ID alone. A name may have been given to cnitool by
    /// another path to the same folder: then it is that which results tell of.
    fn look(which: &Which, netns: Option<&str>, here: &Surroundings) -> Result<Self, Error> {
        let Some(netns) = netns else {
            let owner = which.owner(None)?;
            let cached = cache::read(&here.runtime.results, &owner)?;
            return Ok(Self { owner, netns: None, cached }.with_kept_netns());
        };
        let target = Target::read(netns)?;
        if target == Target::New {
            return Err(Error::New);
        }
        let mut first = None;
        for path in target.paths() {
            let owner = which.owner(Some(&path))?;
            let cached = cache::read(&here.runtime.results, &owner)?;
            let is_kept = cached.is_some();
            let found = Self { owner, netns: Some(path), cached };
            if is_kept {
                return Ok(found);
            }
            first = first.or(Some(found));
        }
        first.ok_or(Error::New)
    }

    fn with_kept_netns(mut self) -> Self {
        self.netns = self.cached.as_ref().and_then(|cached| cached.netns.clone());
        self
    }

    fn attachment(&self, here: &Surroundings) -> Attachment {
        let kept = self.cached.as_ref().map(Cached::attachment);
        let (args, capability_args) =
            kept.map(|kept| (kept.args, kept.capability_args)).unwrap_or_default();
        Attachment {
            container_id: self.owner.container_id.clone(),
            netns: self.netns.clone(),
            ifname: self.owner.ifname.clone(),
            args: here.args.clone().unwrap_or(args),
            capability_args: here.capability_args.clone().unwrap_or(capability_args),
        }
    }

    /// The list of the configuration folder, or, when that is gone or broken, the one kept with the
    /// result.
    fn list(&self, here: &Surroundings) -> Result<NetworkList, Error> {
        let error = match here.network(&self.owner.network) {
            Ok(list) => return Ok(list),
            Err(error) => error,
        };
        let Some(cached) = self.cached.as_ref().filter(|cached| !cached.config.is_empty()) else {
            return Err(error);
        };
        let list = NetworkList::parse(&cached.path, &cached.config)?;
        if list.plugins.is_empty() {
            return Err(error);
        }
        tell(&format!("{error}; going on with the configuration that was kept with the result"));
        Ok(list)
    }
}

impl Attach {
    /// Attaches.
    ///
    /// # Errors
    /// [`Error`]; then nothing is left, unless it says so.
    pub fn run(self) -> Result<ExitCode, Error> {
        let here = Surroundings::read()?;
        let list = here.network(&self.which.network)?;
        let target = Target::read(&self.netns)?;
        let Some(new) = target.make()? else {
            let path = target.path_that_is_there()?;
            return self.attach(&here, &list, path);
        };
        let name = new.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let network = self.which.network.clone();
        match self.attach(&here, &list, new) {
            Ok(code) => {
                tell(&format!(
                    "made the namespace {name}; `causeway netns exec {name} COMMAND` looks inside, \
                     `causeway detach {network} {name} --delete-netns` removes all of it"
                ));
                Ok(code)
            }
            Err(error) => {
                netns::delete(DIRECTORY.as_ref(), &name)?;
                Err(error)
            }
        }
    }

    fn attach(
        &self,
        here: &Surroundings,
        list: &NetworkList,
        netns: PathBuf,
    ) -> Result<ExitCode, Error> {
        let owner = self.which.owner(Some(&netns))?;
        // Both are asked before anything is done: an ADD that a plugin refuses is followed by DEL, and
        // that would take away what is somebody else's.
        if let Some(cached) = cache::read(&here.runtime.results, &owner)? {
            return Err(Error::AlreadyAttached { owner, path: cached.path });
        }
        if owner.ifname != "lo" && namespace::has_interface(&netns, &owner.ifname)? {
            return Err(Error::Occupied { netns, ifname: owner.ifname });
        }
        let attachment = Attachment {
            container_id: owner.container_id,
            netns: Some(netns),
            ifname: owner.ifname,
            args: here.args.clone().unwrap_or_default(),
            capability_args: here.capability_args.clone().unwrap_or_default(),
        };
        let result = here.runtime.add(list, &attachment, self.keep)?;
        let told = result.to_json(list.version()?).map_err(Error::from);
        let told = told.and_then(|text| Ok(output::print(&format!("{text}\n"))?));
        if let Err(error) = told {
            // Nobody knows of it, so nobody would detach it.
            let owner = attachment.owner(&list.name);
            let cached = cache::read(&here.runtime.results, &owner)?;
            here.runtime.del(list, &attachment, cached.as_ref())?;
            return Err(error);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    /// Checks.
    ///
    /// # Errors
    /// [`Error`], with what is different.
    pub fn run(self) -> Result<ExitCode, Error> {
        let here = Surroundings::read()?;
        let found = Found::look(&self.which, self.netns.as_deref(), &here)?;
        if found.cached.is_none() {
            return Err(Error::NotAttached { owner: found.owner, hint: "" });
        }
        let list = found.list(&here)?;
        let done = here.runtime.check(&list, &found.attachment(&here), found.cached.as_ref())?;
        let what = found.owner.text();
        output::print(&match done {
            Checked::Good => format!("{what} is as it should be\n"),
            Checked::Disabled => {
                format!("{what} was not checked: the network says disableCheck\n")
            }
            Checked::TooOld => format!(
                "{what} was not checked: cniVersion {} has no CHECK; it came with 0.4.0\n",
                list.cni_version
            ),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Detach {
    /// Detaches.
    ///
    /// # Errors
    /// [`Error`]; then it can be tried again.
    pub fn run(self) -> Result<ExitCode, Error> {
        let here = Surroundings::read()?;
        let found = Found::look(&self.which, self.netns.as_deref(), &here)?;
        let name = match self.delete_netns {
            true => Some(namespace::kept_name(found.netns.as_deref())?),
            false => None,
        };
        if found.cached.is_none() && !self.force {
            self.refuse_somebody_elses(&found, &here)?;
        }
        let list = found.list(&here)?;
        here.runtime.del(&list, &found.attachment(&here), found.cached.as_ref())?;
        if let Some(name) = name {
            netns::delete(DIRECTORY.as_ref(), &name)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Without a kept result nothing is to be detached but what a record tells of: plugins take away
    /// an interface by its name alone, and it may be another container ID's.
    fn refuse_somebody_elses(&self, found: &Found, here: &Surroundings) -> Result<(), Error> {
        let inventory = Inventory::of_node(&Places::of_node(Some(&here.conf_dir))?)?;
        if inventory.attachments.iter().any(|one| one.owner == found.owner) {
            return Ok(());
        }
        let is_there = match &found.netns {
            Some(netns) => namespace::has_interface(netns, &found.owner.ifname).unwrap_or(false),
            None => false,
        };
        if is_there {
            let hint = "; the interface of that name is another attachment's, so give its \
                        --container-id, or --force if you know better";
            return Err(Error::NotAttached { owner: found.owner.clone(), hint });
        }
        tell(&format!(
            "nothing is known of {}; asking the plugins all the same",
            found.owner.text()
        ));
        Ok(())
    }
}
