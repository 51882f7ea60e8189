//! The leases of a daemon, by the identifier that the reference has for them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::dhcp::keeping::{Lease, Manner, Status};
use crate::dhcp::place::Place;
use crate::dhcp::rpc::{Answer, CmdArgs};
use crate::dhcp::settings::{Settings, client_id};
use crate::dhcp::store::Subject;
use crate::engine::journal::boot_id;
use crate::protocol::config::ValidAttachment;
use crate::protocol::keys::{member, section_at};
use crate::protocol::names;

/// The leases.
pub struct Table {
    prefix: String,
    manner: Manner,
    leases: Mutex<HashMap<String, Arc<Lease>>>,
}

impl Table {
    /// A table without leases. `prefix` is put before namespaces' paths.
    pub fn new(prefix: String, manner: Manner) -> Self {
        Self { prefix, manner, leases: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the leases of the daemon that ran before.
    pub fn resume(&self) {
        for kept in self.manner.store.list(boot_id()) {
            let id = kept.subject.id();
            let Some(terms) = kept.terms() else {
                log::warn!("{id}: the lease that was kept cannot be read");
                self.manner.store.remove(&id);
                continue;
            };
            match Lease::resume(&kept, terms, &self.manner) {
                Ok(lease) => drop(self.lock().insert(id, Arc::new(lease))),
                Err(error) => log::error!("{id}: cannot go on with the lease: {error}"),
            }
        }
    }

    /// Gets an address, or tells the one that there is.
    pub fn allocate(&self, args: &CmdArgs, is_wanted: &dyn Fn() -> bool) -> Result<Answer, String> {
        let call = Call::read(args)?;
        let subject = Subject {
            container_id: args.container_id.clone(),
            network: call.network.clone(),
            ifname: args.ifname.clone(),
            netns: PathBuf::from(format!("{}{}", self.prefix, args.netns)),
            options: call.settings.options(&args.args).map_err(|wrong| wrong.to_string())?,
            priority: call.settings.priority,
        };
        let lease = self.lease(subject)?;
        let terms = lease.wait(is_wanted);
        let answer = terms.and_then(|terms| terms.answer(call.settings.priority));
        if answer.is_err() {
            self.stop(&call.id, &lease);
        }
        answer
    }

    /// The lease of a subject: the one that there is, if it is for the same interface, or a new one.
    fn lease(&self, subject: Subject) -> Result<Arc<Lease>, String> {
        let id = subject.id();
        let place =
            Place::find(&subject.netns, &subject.ifname).map_err(|error| error.to_string())?;
        let site = place.map(|place| place.site()).ok_or_else(|| {
            format!("interface {} is not in {}", subject.ifname, subject.netns.display())
        })?;
        let mut leases = self.lock();
        let present = leases.get(&id).cloned();
        if let Some(lease) = present {
            let is_over = matches!(lease.status(), Status::Over(_));
            if !is_over && lease.site().is_none_or(|known| known == site) {
                return Ok(lease);
            }
            // Of an interface that is gone: its DEL never came.
            leases.remove(&id);
            drop(leases);
            lease.stop();
            leases = self.lock();
        }
        let lease = Lease::seek(subject, &self.manner)
            .map_err(|error| format!("cannot start a thread for the lease: {error}"))?;
        let lease = Arc::new(lease);
        leases.insert(id, Arc::clone(&lease));
        Ok(lease)
    }

    /// Gives an address back; none is fine.
    pub fn release(&self, args: &CmdArgs) -> Result<(), String> {
        let network = network_name(&parse(args)?)?;
        let id = client_id(&args.container_id, &network, &args.ifname);
        let lease = self.lock().get(&id).cloned();
        if let Some(lease) = lease {
            self.stop(&id, &lease);
        }
        Ok(())
    }

    /// Tells the address that there is.
    pub fn check(&self, args: &CmdArgs) -> Result<Answer, String> {
        let call = Call::read(args)?;
        let lease = self.lock().get(&call.id).cloned();
        match lease.map(|lease| lease.status()) {
            Some(Status::Held(terms)) => terms.answer(call.settings.priority),
            Some(Status::Over(why)) => Err(format!("the lease is lost: {why}")),
            Some(Status::Seeking) => Err("the lease is lost; another is being sought".into()),
            None => Err(format!("the daemon holds no lease for {}", call.id)),
        }
    }

    /// Gives back what no valid attachment of the network holds.
    pub fn retain(&self, args: &CmdArgs) -> Result<(), String> {
        let config = parse(args)?;
        let network = network_name(&config)?;
        let Some(valid) = member(&config, "cni.dev/valid-attachments") else {
            return Err("cni.dev/valid-attachments is missing; nothing was given back".into());
        };
        let valid: Vec<ValidAttachment> = section_at("cni.dev/valid-attachments", valid, &[])
            .map_err(|error| error.to_string())?;
        let stale: Vec<_> = self
            .lock()
            .iter()
            .filter(|(_, lease)| {
                let subject = &lease.subject;
                subject.network == network
                    && !valid.iter().any(|one| {
                        one.container_id == subject.container_id && one.ifname == subject.ifname
                    })
            })
            .map(|(id, lease)| (id.clone(), Arc::clone(lease)))
            .collect();
        for (id, lease) in stale {
            self.stop(&id, &lease);
        }
        Ok(())
    }

    /// Gives back what a plugin asked for that is gone before it got the answer.
    pub fn abandon(&self, args: &CmdArgs) {
        log::warn!("the plugin that asked for {} is gone", args.container_id);
        if let Err(error) = self.release(args) {
            log::warn!("{error}");
        }
    }

    fn stop(&self, id: &str, lease: &Arc<Lease>) {
        lease.stop();
        let mut leases = self.lock();
        // Another call may have put a new one there.
        if leases.get(id).is_some_and(|present| Arc::ptr_eq(present, lease)) {
            leases.remove(id);
        }
    }
}

/// What a call is about.
struct Call {
    id: String,
    network: String,
    settings: Settings,
}

impl Call {
    fn read(args: &CmdArgs) -> Result<Self, String> {
        let config = parse(args)?;
        names::container_id(&args.container_id).map_err(|error| error.to_string())?;
        names::interface_name(&args.ifname).map_err(|error| error.to_string())?;
        let network = network_name(&config)?;
        let empty = Value::Null;
        let ipam = member(&config, "ipam").unwrap_or(&empty);
        let settings = if ipam.is_null() {
            Settings::read(&Value::Object(Default::default()))
        } else {
            Settings::read(ipam)
        };
        Ok(Self {
            id: client_id(&args.container_id, &network, &args.ifname),
            network,
            settings: settings.map_err(|wrong| wrong.to_string())?,
        })
    }
}

fn parse(args: &CmdArgs) -> Result<Value, String> {
    serde_json::from_slice(&args.stdin)
        .map_err(|error| format!("the configuration is no JSON: {error}"))
}

fn network_name(config: &Value) -> Result<String, String> {
    let name = member(config, "name").and_then(Value::as_str).unwrap_or_default();
    names::network_name(name).map_err(|error| format!("name: {error}"))?;
    Ok(name.to_owned())
}
