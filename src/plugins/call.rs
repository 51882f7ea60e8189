//! A call by a runtime: which plugins it is for, and what every verb needs of it (CNI spec 1.1.0,
//! section 2). ADD is in `attach`, DEL and GC are in `detach` and
//! `collect`.

use std::io;
use std::path::Path;

use super::chain::{Entries, Member};
use super::{
    Error, Given, Plan, Role, SELF, Step, TYPES, attach, collect, detach, limits, named, slaac,
};
use crate::delegate;
use crate::engine::journal::{Journal, boot_id};
use crate::engine::node::LeaseKeeper;
use crate::engine::{Node, Owner, Resource, apply};
use crate::ipam::host_local::Holder;
use crate::ipam::{self, Keeper, Leased, Source};
use crate::kernel;
use crate::kernel::netns::{self, Namespace};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::AddResult;
use crate::protocol::version::version_reply;

/// Where an answer goes. An ADD whose answer cannot be delivered is undone.
pub trait Deliver {
    /// Hands an answer over, whole.
    ///
    /// # Errors
    /// When nobody takes it.
    fn deliver(&mut self, text: &str) -> io::Result<()>;
}

/// Carries a request out, for the plugin that the program's name or the configuration tells.
///
/// # Errors
/// Whatever went wrong; then nothing is left of it.
pub fn run(program: &str, request: &Request, out: &mut dyn Deliver) -> Result<(), Error> {
    // Which versions there are does not depend on the plugin.
    if request.verb == Verb::Version {
        let reply = version_reply(request.config.given_version())?;
        return out.deliver(&reply).map_err(Error::Undelivered);
    }
    let entries = Entries::of(program, request)?;
    let call = Call::open(program, request, entries.as_ref())?;
    match request.verb {
        Verb::Add => attach::add(call, out),
        Verb::Del => detach::del(&call),
        Verb::Check => check(call),
        Verb::Gc => collect::collect(&call),
        Verb::Status => status(&call),
        Verb::Version => Ok(()),
    }
}

/// Has every plugin of a call read its configuration, as each verb does first. Nothing else is done.
///
/// # Errors
/// What any attachment would fail with.
pub fn configure(program: &str, request: &Request) -> Result<(), Error> {
    let entries = Entries::of(program, request)?;
    Call::open(program, request, entries.as_ref()).map(drop)
}

/// What ADD would do.
///
/// # Errors
/// What ADD would fail with before it changes anything; and that an address source does not say
/// beforehand what it would give.
pub fn explain(program: &str, request: &Request) -> Result<Plan, Error> {
    let explained = explain_each(program, request)?;
    if let Some(source) = explained.unknown {
        return Err(ipam::Error::Unknown(source).into());
    }
    let resources = explained.parts.into_iter().flat_map(|part| part.resources).collect();
    Ok(Plan { resources, result: explained.result })
}

/// What ADD would do, plugin by plugin.
#[derive(Debug)]
pub struct Explained {
    /// What each plugin does, in order.
    pub parts: Vec<Part>,
    /// What ADD would report, as far as it is known.
    pub result: AddResult,
    /// The address source that says only when it is asked in earnest what it gives. What follows
    /// from its addresses is not among the parts then.
    pub unknown: Option<String>,
}

/// What one plugin does.
#[derive(Debug)]
pub struct Part {
    /// The plugin's type.
    pub plugin: String,
    /// What it makes, in order.
    pub resources: Vec<Resource>,
}

/// What ADD would do, plugin by plugin, as far as it can be known.
///
/// # Errors
/// What ADD would fail with before it changes anything.
pub fn explain_each(program: &str, request: &Request) -> Result<Explained, Error> {
    let entries = Entries::of(program, request)?;
    let mut call = Call::open(program, request, entries.as_ref())?;
    let home = home()?;
    let pod = call.namespace(&home)?;
    let mut node = Node::open(home, Some(pod), None)?;
    observe(call.name, &mut call.members, &call.owner, &mut node)?;
    let mut unknown = None;
    let lease = match call.source.as_ref().map(|source| source.preview(&call.owner)).transpose() {
        Err(ipam::Error::Unknown(source)) => {
            unknown = Some(source);
            None
        }
        other => other?,
    };
    let mut planned: Vec<Resource> = Vec::new();
    let mut parts = Vec::new();
    let mut result = request.config.prev_result.clone();
    for (place, member) in call.members.iter().enumerate() {
        let (plugin, resources) = match member {
            Member::Own(step) => {
                let plan = call.plan(place, &**step, lease.as_ref(), result.as_ref(), &planned);
                let plugin = step.plugin_type().to_owned();
                match plan {
                    Ok(plan) => {
                        result = Some(plan.result);
                        (plugin, plan.resources)
                    }
                    // A plugin cannot plan on addresses that nobody knows.
                    Err(_) if unknown.is_some() => (plugin, Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            Member::Foreign(foreign) => {
                let resource = attach::foreign_resource(foreign, result.as_ref())
                    .map_err(|error| call.located(place, error))?;
                (foreign.request.config.plugin_type.clone(), vec![resource.into()])
            }
        };
        planned.extend(resources.iter().cloned());
        parts.push(Part { plugin, resources });
    }
    Ok(Explained { parts, result: result.unwrap_or_default(), unknown })
}

/// A call with its plugins, whose configuration is in order.
pub(super) struct Call<'r> {
    /// What the runtime asks.
    pub(super) request: &'r Request,
    /// Under which name the attachment's record is kept: the plugin's type, or this program's own
    /// for a list.
    pub(super) name: &'static str,
    /// The attachment.
    pub(super) owner: Owner,
    /// The plugins in the order of ADD.
    pub(super) members: Vec<Member<'r>>,
    /// The address source of the one that has it.
    pub(super) source: Option<Source>,
}

impl<'r> Call<'r> {
    fn open(
        program: &str,
        request: &'r Request,
        entries: Option<&'r Entries>,
    ) -> Result<Self, Error> {
        let (name, members) = match entries {
            Some(entries) => (SELF, entries.open()?),
            None => {
                let kind = named(program, &request.config.plugin_type)?;
                (kind.name, vec![Member::Own((kind.open)(request)?)])
            }
        };
        let owner = Owner {
            network: request.config.name.clone(),
            container_id: request.container_id.clone(),
            ifname: request.ifname.clone(),
        };
        let mut source = None;
        for (place, member) in members.iter().enumerate() {
            if let Member::Own(step) = member {
                let named = step.source().map_err(|error| located(name, place, error))?;
                source = source.or(named);
                if step.role() == Role::Interface {
                    slaac::wanted(&**step).map_err(|error| located(name, place, error))?;
                }
            }
        }
        Ok(Self { request, name, owner, members, source })
    }

    /// The plugins of this program with their places.
    pub(super) fn steps(&self) -> impl DoubleEndedIterator<Item = (usize, &dyn Step)> {
        self.members.iter().enumerate().filter_map(|(place, member)| match member {
            Member::Own(step) => Some((place, &**step)),
            Member::Foreign(_) => None,
        })
    }

    /// Whether one of the plugins has this role.
    pub(super) fn has(&self, role: Role) -> bool {
        self.steps().any(|(_, step)| step.role() == role)
    }

    /// Whether the interface gets an address from routers.
    fn asks_routers(&self) -> Result<bool, Error> {
        for (place, step) in self.steps().filter(|(_, step)| step.role() == Role::Interface) {
            if slaac::wanted(step).map_err(|error| self.located(place, error))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An error with the place in the list that it comes from.
    pub(super) fn located(&self, place: usize, error: Error) -> Error {
        located(self.name, place, error)
    }

    /// The plan of the plugin in one place.
    pub(super) fn plan(
        &self,
        place: usize,
        step: &dyn Step,
        lease: Option<&Leased>,
        previous: Option<&AddResult>,
        planned: &[Resource],
    ) -> Result<Plan, Error> {
        let given = Given { lease, previous, planned };
        let plan = || {
            let mut plan = step.plan(&self.owner, &given)?;
            if step.role() == Role::Interface
                && let Some(seconds) = slaac::wanted(step)?
            {
                slaac::arrange(step.request(), seconds, previous, &mut plan);
            }
            Ok(plan)
        };
        plan().map_err(|error| self.located(place, error))
    }

    /// The network's journal.
    pub(super) fn journal(&self) -> Journal {
        Journal::of(self.request.config.state_dir.as_deref(), &self.request.config.name)
    }

    /// Keeps other calls for the same container out. Not with foreign plugins, which may want the
    /// same lock.
    pub(super) fn lock(&self, pod: &Namespace) -> Result<(), Error> {
        let foreign = self.members.iter().any(|member| matches!(member, Member::Foreign(_)));
        if !foreign && (self.has(Role::Interface) || self.has(Role::Chained)) {
            pod.lock().map_err(kernel::Error::from)?;
        }
        Ok(())
    }

    /// The container's namespace, which must be there and not be the host's.
    pub(super) fn namespace(&self, home: &Namespace) -> Result<Namespace, Error> {
        let path = self.request.netns.as_deref().unwrap_or(Path::new(""));
        let wrong = |problem: String| Error::Environment { variable: "CNI_NETNS", problem };
        let namespace = Namespace::open(path).map_err(|error| wrong(error.to_string()))?;
        if !self.request.netns_override && namespace.is_same(home) {
            return Err(wrong(format!(
                "{} is the namespace that the plugin itself runs in; give the container's, \
                 or set CNI_NETNS_OVERRIDE=1 if that is meant",
                path.display()
            )));
        }
        Ok(namespace)
    }

    /// The container's namespace for DEL, which goes on without when it is gone or was never one. One
    /// that may be there but cannot be opened now is an error: what is inside would stay for ever.
    pub(super) fn namespace_if_there(&self, home: &Namespace) -> Result<Option<Namespace>, Error> {
        let Some(path) = self.request.netns.as_deref() else { return Ok(None) };
        match Namespace::open(path) {
            Ok(namespace) if !self.request.netns_override && namespace.is_same(home) => {
                Err(Error::Environment {
                    variable: "CNI_NETNS",
                    problem: format!(
                        "{} is the namespace that the plugin itself runs in; nothing was removed",
                        path.display()
                    ),
                })
            }
            Ok(namespace) => Ok(Some(namespace)),
            Err(netns::Error::Gone { .. }) => Ok(None),
            Err(error) if error.is_passing() => Err(kernel::Error::from(error).into()),
            Err(error) => {
                log::warn!("CNI_NETNS: {error}; going on as if the namespace were gone");
                Ok(None)
            }
        }
    }
}

fn located(name: &str, place: usize, error: Error) -> Error {
    if name == SELF { error.in_entry(place) } else { error }
}

/// Who keeps the leases, for the engine.
pub(super) fn keeper<'a>(source: &'a Option<Source>, owner: &'a Owner) -> Option<Keeper<'a>> {
    source.as_ref().map(|source| Keeper { source, owner })
}

/// Has every plugin of a call read its facts from the kernel.
pub(super) fn observe(
    name: &str,
    members: &mut [Member<'_>],
    owner: &Owner,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    for (place, member) in members.iter_mut().enumerate() {
        if let Member::Own(step) = member {
            step.observe(owner, node).map_err(|error| located(name, place, error))?;
        }
    }
    Ok(())
}

/// The namespace that this program was called in.
pub(super) fn home() -> Result<Namespace, Error> {
    Ok(Namespace::current().map_err(crate::kernel::Error::from)?)
}

/// Whether the journal proves that a lease's holder is nobody any more: of an earlier boot, with its
/// namespace gone.
pub(super) fn is_abandoned(holder: Holder<'_>, journal: &Journal) -> bool {
    let types: Vec<_> = TYPES.iter().map(|known| known.name).chain([SELF]).collect();
    let records = journal.of_attachment(holder.container_id, holder.ifname, &types);
    let records = records.unwrap_or_default();
    !records.is_empty() && records.iter().all(|record| record.is_abandoned(boot_id()))
}

fn check(mut call: Call<'_>) -> Result<(), Error> {
    let resources = expected(&mut call)?;
    let home = home()?;
    let pod = call.namespace(&home)?;
    limits::keep_what_is_needed(&call, None);
    let keeper = keeper(&call.source, &call.owner);
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let mut node = Node::open(home, Some(pod), keeper)?;
    Ok(apply::verify(&resources, &mut node)?)
}

/// What prevResult says that there should be. The kernel is not asked.
fn expected(call: &mut Call<'_>) -> Result<Vec<Resource>, Error> {
    let result = match &call.request.config.prev_result {
        Some(result) => result.clone(),
        None if call.has(Role::Interface) || call.has(Role::Chained) => {
            return Err(Error::Foreign("is missing, and CHECK compares with it".into()));
        }
        None => AddResult::default(),
    };
    let name = call.name;
    for (place, member) in call.members.iter_mut().enumerate() {
        if let Member::Own(step) = member {
            step.recall(&result).map_err(|error| located(name, place, error))?;
        }
    }
    let mut lease = call.source.as_ref().map(|source| leased_before(source, &result, call.request));
    if let Some(lease) = &mut lease
        && call.asks_routers()?
    {
        slaac::leave_out(lease);
    }
    let mut resources = Vec::new();
    for (place, member) in call.members.iter().enumerate() {
        match member {
            Member::Own(step) => {
                let plan = call.plan(place, &**step, lease.as_ref(), Some(&result), &resources)?;
                resources.extend(plan.resources);
            }
            Member::Foreign(foreign) => {
                resources.push(attach::foreign_resource(foreign, Some(&result))?.into());
            }
        }
    }
    Ok(resources)
}

/// As [`expected`], for what is no request of a runtime's.
#[cfg(test)]
pub(crate) fn expected_of(program: &str, request: &Request) -> Result<Vec<Resource>, Error> {
    let entries = Entries::of(program, request)?;
    expected(&mut Call::open(program, request, entries.as_ref())?)
}

/// The lease that an ADD had, as prevResult tells it.
fn leased_before(source: &Source, result: &AddResult, request: &Request) -> Leased {
    let ours = |index: Option<usize>| {
        index
            .and_then(|index| result.interfaces.get(index))
            .is_none_or(|one| one.name == request.ifname)
    };
    Leased {
        source: source.name().to_owned(),
        ips: result.ips.iter().filter(|ip| ours(ip.interface)).cloned().collect(),
        routes: result.routes.clone(),
        dns: result.dns.clone(),
    }
}

fn status(call: &Call<'_>) -> Result<(), Error> {
    limits::keep_what_is_needed(call, None);
    if let Some(source) = &call.source {
        let journal = call.journal();
        match source.room(&mut |holder| is_abandoned(holder, &journal)) {
            Err(error @ (ipam::Error::HostLocal(_) | ipam::Error::Dhcp(_))) => {
                return Err(Error::NotAvailable(error.to_string()));
            }
            other => other?,
        }
    }
    let mut node = Node::open(home()?, None, None)?;
    for (place, member) in call.members.iter().enumerate() {
        match member {
            Member::Own(step) => {
                if let Err(error) = step.probe(&mut node) {
                    return Err(call.located(place, Error::NotAvailable(error.to_string())));
                }
            }
            Member::Foreign(foreign) => {
                let stdin = foreign.stdin(None)?.to_string();
                delegate::status(&foreign.program()?, stdin.as_bytes())?;
            }
        }
    }
    Ok(())
}
