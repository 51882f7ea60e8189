//! `loopback`: the container's `lo`, up.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::node::Side;
use crate::engine::resource::loopback::{Loopback as LoopbackUp, NAME};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::addr;
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface, IpConfig};

/// The plugin; it has no keys.
pub struct Loopback;

/// The addresses that `lo` gets when it comes up.
pub struct Facts {
    addresses: Vec<IpNetwork>,
}

impl Plugin for Loopback {
    const TYPE: &'static str = "loopback";
    const ROLE: Role = Role::Loopback;
    type Facts = Facts;

    fn configure(_request: &Request) -> Result<Self, Error> {
        Ok(Self)
    }

    fn observe(
        &self,
        _request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        let link = node.link(Side::Pod, NAME)?;
        let present = addr::list(&mut node.pod()?.route, link.index)?;
        if let Some(strange) = present.iter().find(|address| !address.network.ip().is_loopback()) {
            return Err(Error::config(
                "lo",
                format!(
                    "the container's lo has address {}, which is no loopback address",
                    strange.network
                ),
            ));
        }
        if link.up {
            return Ok(Facts {
                addresses: present.iter().map(|address| address.network).collect(),
            });
        }
        // The kernel adds these when lo comes up (`inetdev_event`, `init_loopback`).
        let v4 = IpNetwork::new(Ipv4Addr::LOCALHOST.into(), 8);
        let v6 = IpNetwork::new(Ipv6Addr::LOCALHOST.into(), 128);
        let has_v6 = node.within(Side::Pod, || {
            crate::kernel::sysctl::read("net/ipv6/conf/lo/disable_ipv6")
                .is_ok_and(|value| value == "0")
        })?;
        let v6 = has_v6.then_some(v6);
        Ok(Facts { addresses: [Some(v4), v6].into_iter().flatten().flatten().collect() })
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        Ok(Facts { addresses: Vec::new() })
    }

    fn plan(
        &self,
        request: &Request,
        _owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        let result = given.previous.cloned().unwrap_or_else(|| AddResult {
            interfaces: vec![Interface {
                name: NAME.into(),
                mac: "00:00:00:00:00:00".into(),
                sandbox: request
                    .netns
                    .as_deref()
                    .map(|path| path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                ..Interface::default()
            }],
            ips: facts
                .addresses
                .iter()
                .map(|address| IpConfig { interface: Some(0), address: *address, gateway: None })
                .collect(),
            ..AddResult::default()
        });
        Ok(Plan { resources: vec![LoopbackUp::default().into()], result })
    }

    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        vec![LoopbackUp::default().into()]
    }
}
