//! What a server's ACK says: address, gateway, routes and times, as the reference reads them.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnetwork::{IpNetwork, Ipv4Network};

use super::message::{Message, option};
use super::rpc::Answer;
use crate::protocol::result::{Dns, IpConfig, Route};

/// What a server that names no time means.
const DEFAULT_TIME: Duration = Duration::from_secs(60 * 60);
/// The number of seconds that means for ever (RFC 2131, section 3.3).
const FOR_EVER: u32 = u32::MAX;
/// A lease is not renewed earlier than this, however short it is.
const LEAST: Duration = Duration::from_secs(1);
/// The scope of a route to what is on the link (rtnetlink(7), RT_SCOPE_LINK).
const SCOPE_LINK: u8 = 253;

/// A lease's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The server's ACK.
    pub ack: Message,
    /// When it was asked for, in the time of [`super::clock`].
    pub since: Duration,
}

impl Terms {
    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.ack.yours
    }

    /// The address with its subnet's prefix length; `None` when the server gave no subnet mask, or one
    /// with holes.
    pub fn network(&self) -> Option<Ipv4Network> {
        let mask = self.ack.address(option::SUBNET_MASK)?;
        Ipv4Network::with_netmask(self.address(), mask).ok()
    }

    /// The server, which an answer must name (RFC 2131, section 4.3.1).
    pub fn server(&self) -> Option<Ipv4Addr> {
        self.ack.address(option::SERVER)
    }

    /// The first router.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.ack.address(option::ROUTER)
    }

    /// When it is to be renewed (T1).
    pub fn renewal(&self) -> Option<Duration> {
        let length = self.length()?;
        Some(self.since + self.part(option::RENEWAL_TIME, length / 2).min(length).max(LEAST))
    }

    /// When any server may renew it (T2), not before [`Self::renewal`].
    pub fn rebinding(&self) -> Option<Duration> {
        let length = self.length()?;
        let rebinding = self.part(option::REBINDING_TIME, length * 85 / 100).min(length);
        Some((self.since + rebinding).max(self.renewal()?))
    }

    /// When it is over.
    pub fn expiry(&self) -> Option<Duration> {
        Some((self.since + self.length()?).max(self.rebinding()?))
    }

    fn length(&self) -> Option<Duration> {
        match self.ack.number(option::LEASE_TIME) {
            None => Some(DEFAULT_TIME),
            Some(FOR_EVER) => None,
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
        }
    }

    fn part(&self, code: u8, or: Duration) -> Duration {
        self.ack.number(code).map_or(or, |seconds| Duration::from_secs(seconds.into()))
    }

    /// The routes. Classless ones stand for all others and for the router (RFC 3442).
    pub fn routes(&self, priority: Option<u32>) -> Vec<Route> {
        let route = |dst: Ipv4Network, gw: Ipv4Addr, scope| Route {
            dst: IpNetwork::V4(dst),
            gw: Some(gw.into()),
            mtu: None,
            advmss: None,
            priority,
            table: None,
            scope,
        };
        let classless = self.ack.option(option::CLASSLESS_ROUTES).map(classless);
        if let Some(routes) = classless.filter(|routes| !routes.is_empty()) {
            let on_link = |gw: Ipv4Addr| gw.is_unspecified().then_some(SCOPE_LINK);
            return routes.into_iter().map(|(dst, gw)| route(dst, gw, on_link(gw))).collect();
        }
        let classful = self.ack.option(option::STATIC_ROUTES).unwrap_or_default();
        let pairs = classful.as_chunks::<8>().0.iter();
        let mut routes: Vec<Route> = pairs
            .filter_map(|&[a, b, c, d, w, x, y, z]| {
                let dst = Ipv4Addr::new(a, b, c, d);
                let dst = Ipv4Network::new(dst, class(dst)?).ok()?;
                Some(route(dst, Ipv4Addr::new(w, x, y, z), None))
            })
            .collect();
        let everywhere = Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0).ok();
        if let (Some(gateway), Some(everywhere)) = (self.gateway(), everywhere) {
            routes.push(route(everywhere, gateway, None));
        }
        routes
    }

    /// The answer for a plugin.
    ///
    /// # Errors
    /// When the server gave no subnet mask.
    pub fn answer(&self, priority: Option<u32>) -> Result<Answer, String> {
        let network = self.network().ok_or_else(|| {
            format!(
                "the server's ACK for {} holds no subnet mask (option {}) that can be used; have the server \
                 send it",
                self.address(),
                option::SUBNET_MASK
            )
        })?;
        Ok(Answer {
            ips: vec![IpConfig {
                interface: None,
                address: IpNetwork::V4(network),
                gateway: self.gateway().map(Into::into),
            }],
            routes: self.routes(priority),
            dns: Dns::default(),
        })
    }
}

/// The prefix length of an address's class; `None` above class C.
fn class(address: Ipv4Addr) -> Option<u8> {
    let [first, ..] = address.octets();
    match first {
        0..128 => Some(8),
        128..192 => Some(16),
        192..224 => Some(24),
        _ => None,
    }
}

/// Destinations and routers: a prefix length, as many bytes of the destination as it has, a router.
/// What is malformed ends the list.
fn classless(mut bytes: &[u8]) -> Vec<(Ipv4Network, Ipv4Addr)> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = bytes.split_first() {
        let given = usize::from(prefix).div_ceil(8);
        let Some((destination, rest)) = rest.split_at_checked(given) else { break };
        let Some((router, rest)) = rest.split_first_chunk::<4>() else { break };
        let mut octets = [0; 4];
        for (octet, given) in octets.iter_mut().zip(destination) {
            *octet = *given;
        }
        let Ok(network) = Ipv4Network::new(octets.into(), prefix) else { break };
        let Ok(network) = Ipv4Network::new(network.network(), prefix) else { break };
        routes.push((network, Ipv4Addr::from(*router)));
        bytes = rest;
    }
    routes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::dhcp::message::Kind;
    use crate::kernel::mac::Mac;

    fn terms(options: &[(u8, &[u8])]) -> Terms {
        let mut ack = Message::new(Kind::Ack, 1, Mac([2; 6]));
        ack.yours = Ipv4Addr::new(10, 9, 0, 5);
        for (code, value) in options {
            ack.set(*code, *value);
        }
        Terms { ack, since: Duration::from_secs(100) }
    }

    fn routes(options: &[(u8, &[u8])]) -> Vec<String> {
        let list = terms(options).routes(None).into_iter();
        list.map(|route| format!("{} via {} scope {:?}", route.dst, route.gw.unwrap(), route.scope))
            .collect()
    }

    #[test]
    fn routers_and_classful_routes_stand_together() {
        let static_routes = [172, 16, 0, 0, 10, 9, 0, 2, 192, 168, 7, 0, 10, 9, 0, 3];
        assert_eq!(
            routes(&[(33, &static_routes), (3, &[10, 9, 0, 1, 10, 9, 0, 9])]),
            [
                "172.16.0.0/16 via 10.9.0.2 scope None",
                "192.168.7.0/24 via 10.9.0.3 scope None",
                "0.0.0.0/0 via 10.9.0.1 scope None",
            ]
        );
    }

    #[test]
    fn classless_routes_stand_alone() {
        let classless =
            [16, 10, 20, 10, 9, 0, 2, 0, 10, 9, 0, 1, 24, 192, 168, 5, 0, 0, 0, 0, 33, 1, 2];
        assert_eq!(
            routes(&[(121, &classless), (33, &[172, 16, 0, 0, 1, 1, 1, 1]), (3, &[10, 9, 0, 9])]),
            [
                "10.20.0.0/16 via 10.9.0.2 scope None",
                "0.0.0.0/0 via 10.9.0.1 scope None",
                "192.168.5.0/24 via 0.0.0.0 scope Some(253)",
            ]
        );
        assert_eq!(routes(&[(121, &[33]), (3, &[10, 9, 0, 9])]).len(), 1);
    }

    #[test]
    fn times_follow_from_the_lease() {
        let seconds = |number: u32| number.to_be_bytes();
        let times = |options: &[(u8, &[u8])]| {
            let terms = terms(options);
            [terms.renewal(), terms.rebinding(), terms.expiry()]
                .map(|time| time.map(|time| time.as_secs() - 100))
        };
        assert_eq!(times(&[]), [Some(1800), Some(3060), Some(3600)]);
        assert_eq!(times(&[(51, &seconds(100))]), [Some(50), Some(85), Some(100)]);
        let all = [(51, seconds(100)), (58, seconds(10)), (59, seconds(20))];
        let all: Vec<(u8, &[u8])> = all.iter().map(|(code, value)| (*code, &value[..])).collect();
        assert_eq!(times(&all), [Some(10), Some(20), Some(100)]);
        // A server's nonsense: T2 before T1, both after the end.
        let odd = [(51, seconds(100)), (58, seconds(90)), (59, seconds(20))];
        let odd: Vec<(u8, &[u8])> = odd.iter().map(|(code, value)| (*code, &value[..])).collect();
        assert_eq!(times(&odd), [Some(90), Some(90), Some(100)]);
        assert_eq!(times(&[(51, &seconds(0))]), [Some(1), Some(1), Some(1)]);
        assert_eq!(times(&[(51, &seconds(u32::MAX))]), [None; 3]);
    }

    #[test]
    fn an_ack_without_a_mask_is_of_no_use() {
        let error = terms(&[]).answer(None).unwrap_err();
        assert!(error.contains("subnet mask"), "{error}");
        assert!(terms(&[(1, &[255, 0, 255, 0])]).answer(None).is_err());
        let answer = terms(&[(1, &[255, 255, 255, 0]), (3, &[10, 9, 0, 1])]).answer(Some(7));
        let answer = answer.unwrap();
        assert_eq!(answer.ips[0].address.to_string(), "10.9.0.5/24");
        assert_eq!(answer.routes[0].priority, Some(7));
    }
}
