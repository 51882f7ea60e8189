//! The calls between a plugin and the daemon: Go's net/rpc, gob after an HTTP CONNECT, with the
//! types of the reference's dhcp.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::gob::{self, Decoder, Encoder, Struct, Type, Value};
use crate::protocol::result::{Dns, IpConfig, Route};

/// Has the daemon get an address, or tell the one that the attachment has.
pub const ALLOCATE: &str = "DHCP.Allocate";
/// Has the daemon give the attachment's address back.
pub const RELEASE: &str = "DHCP.Release";
/// Asks whether the attachment holds an address, and which. The reference's daemon does not know it.
pub const CHECK: &str = "DHCP.Check";
/// Has the daemon give back what no valid attachment of the network holds. The reference's daemon
/// does not know it.
pub const RETAIN: &str = "DHCP.Retain";

/// What a daemon answers to a call that it does not know begins with this (net/rpc, server.go).
pub const UNKNOWN: &str = "rpc: can't find ";

const CONNECT: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
const CONNECTED: &str = "200 Connected to Go RPC";
/// The longest HTTP head that is read, in bytes.
const LONGEST_HEAD: usize = 8 << 10;

static REQUEST: Struct =
    Struct { name: "Request", fields: &[("ServiceMethod", Type::Text), ("Seq", Type::Uint)] };
static RESPONSE: Struct = Struct {
    name: "Response",
    fields: &[("ServiceMethod", Type::Text), ("Seq", Type::Uint), ("Error", Type::Text)],
};
static CMD_ARGS: Struct = Struct {
    name: "CmdArgs",
    fields: &[
        ("ContainerID", Type::Text),
        ("Netns", Type::Text),
        ("IfName", Type::Text),
        ("Args", Type::Text),
        ("Path", Type::Text),
        ("NetnsOverride", Type::Text),
        ("StdinData", Type::Bytes),
    ],
};
static IP_NET: Struct =
    Struct { name: "IPNet", fields: &[("IP", Type::Bytes), ("Mask", Type::Bytes)] };
static INTERFACE: Struct = Struct {
    name: "Interface",
    fields: &[("Name", Type::Text), ("Mac", Type::Text), ("Sandbox", Type::Text)],
};
static IP_CONFIG: Struct = Struct {
    name: "IPConfig",
    fields: &[
        ("Interface", Type::Int),
        ("Address", Type::Struct(&IP_NET)),
        ("Gateway", Type::Bytes),
    ],
};
static ROUTE: Struct = Struct {
    name: "Route",
    fields: &[
        ("Dst", Type::Struct(&IP_NET)),
        ("GW", Type::Bytes),
        ("MTU", Type::Int),
        ("AdvMSS", Type::Int),
        ("Priority", Type::Int),
        ("Table", Type::Int),
        ("Scope", Type::Int),
    ],
};
static DNS: Struct = Struct {
    name: "DNS",
    fields: &[
        ("Nameservers", Type::List(&Type::Text)),
        ("Domain", Type::Text),
        ("Search", Type::List(&Type::Text)),
        ("Options", Type::List(&Type::Text)),
    ],
};
static RESULT: Struct = Struct {
    name: "Result",
    fields: &[
        ("CNIVersion", Type::Text),
        ("Interfaces", Type::List(&Type::Struct(&INTERFACE))),
        ("IPs", Type::List(&Type::Struct(&IP_CONFIG))),
        ("Routes", Type::List(&Type::Struct(&ROUTE))),
        ("DNS", Type::Struct(&DNS)),
    ],
};
static NOTHING: Struct = Struct { name: "", fields: &[] };

/// What is wrong with a conversation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed or was not gob.
    #[error(transparent)]
    Gob(#[from] gob::Error),
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side speaks something else.
    #[error("{0}")]
    Protocol(String),
    /// The daemon's own refusal.
    #[error("{0}")]
    Refused(String),
}

/// The parameters of a call, as a plugin got them from the runtime (`skel.CmdArgs` of libcni).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CmdArgs {
    /// CNI_CONTAINERID.
    pub container_id: String,
    /// CNI_NETNS, absolute: the daemon may run in another directory.
    pub netns: String,
    /// CNI_IFNAME.
    pub ifname: String,
    /// CNI_ARGS as written.
    pub args: String,
    /// CNI_PATH.
    pub path: String,
    /// The configuration.
    pub stdin: Vec<u8>,
}

impl CmdArgs {
    fn to_value(&self) -> Value {
        let text = |name: &str, text: &str| (name.to_owned(), Value::Text(text.to_owned()));
        Value::Struct(vec![
            text("ContainerID", &self.container_id),
            text("Netns", &self.netns),
            text("IfName", &self.ifname),
            text("Args", &self.args),
            text("Path", &self.path),
            ("StdinData".to_owned(), Value::Bytes(self.stdin.clone())),
        ])
    }

    fn from_value(value: &Value) -> Self {
        let text = |name: &str| value.text(name).to_owned();
        Self {
            container_id: text("ContainerID"),
            netns: text("Netns"),
            ifname: text("IfName"),
            args: text("Args"),
            path: text("Path"),
            stdin: value.bytes("StdinData").to_vec(),
        }
    }
}

/// What the daemon hands out (`types100.Result` of libcni; it has no interfaces).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Addresses with gateways.
    pub ips: Vec<IpConfig>,
    /// Routes for the container.
    pub routes: Vec<Route>,
    /// Name resolution.
    pub dns: Dns,
}

impl Answer {
    fn to_value(&self) -> Value {
        let named = |name: &str, value| (name.to_owned(), value);
        let ips = self.ips.iter().map(|ip| {
            Value::Struct(vec![
                named("Address", network_value(ip.address)),
                named("Gateway", address_value(ip.gateway)),
            ])
        });
        let number = |number: Option<u32>| Value::Int(number.map_or(0, i64::from));
        let routes = self.routes.iter().map(|route| {
            Value::Struct(vec![
                named("Dst", network_value(route.dst)),
                named("GW", address_value(route.gw)),
                named("MTU", number(route.mtu)),
                named("AdvMSS", number(route.advmss)),
                named("Priority", number(route.priority)),
                named("Table", number(route.table)),
                named("Scope", number(route.scope.map(u32::from))),
            ])
        });
        let texts =
            |texts: &[String]| Value::List(texts.iter().cloned().map(Value::Text).collect());
        let dns = Value::Struct(vec![
            named("Nameservers", texts(&self.dns.nameservers)),
            named("Domain", Value::Text(self.dns.domain.clone())),
            named("Search", texts(&self.dns.search)),
            named("Options", texts(&self.dns.options)),
        ]);
        Value::Struct(vec![
            named("IPs", Value::List(ips.collect())),
            named("Routes", Value::List(routes.collect())),
            named("DNS", dns),
        ])
    }

    fn from_value(value: &Value) -> Result<Self, Error> {
        let ips = value.list("IPs").iter().map(|ip| {
            Ok(IpConfig {
                interface: None,
                address: network(ip.field("Address"))?,
                gateway: address(ip.bytes("Gateway")),
            })
        });
        let number = |route: &Value, name: &str| {
            route.number(name).and_then(|number| u32::try_from(number).ok())
        };
        let routes = value.list("Routes").iter().map(|route| {
            let nonzero = |name: &str| number(route, name).filter(|number| *number != 0);
            Ok(Route {
                dst: network(route.field("Dst"))?,
                gw: address(route.bytes("GW")),
                mtu: nonzero("MTU"),
                advmss: nonzero("AdvMSS"),
                priority: nonzero("Priority"),
                table: number(route, "Table"),
                scope: number(route, "Scope").and_then(|scope| u8::try_from(scope).ok()),
            })
        });
        let dns = value.field("DNS");
        let texts = |name: &str| {
            let list = dns.map(|dns| dns.list(name)).unwrap_or_default();
            let texts = list.iter().filter_map(|one| match one {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            });
            texts.collect()
        };
        Ok(Self {
            ips: ips.collect::<Result<_, Error>>()?,
            routes: routes.collect::<Result<_, Error>>()?,
            dns: Dns {
                nameservers: texts("Nameservers"),
                domain: dns.map(|dns| dns.text("Domain").to_owned()).unwrap_or_default(),
                search: texts("Search"),
                options: texts("Options"),
            },
        })
    }
}

fn address_value(address: Option<IpAddr>) -> Value {
    Value::Bytes(match address {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => Vec::new(),
    })
}

fn network_value(network: IpNetwork) -> Value {
    Value::Struct(vec![
        ("IP".to_owned(), address_value(Some(network.ip()))),
        ("Mask".to_owned(), address_value(Some(network.mask()))),
    ])
}

/// A Go `net.IP`: four bytes or sixteen, of which IPv4 addresses may be either.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

fn network(value: Option<&Value>) -> Result<IpNetwork, Error> {
    let wrong = || Error::Protocol("the daemon's answer holds a network that is none".into());
    let value = value.ok_or_else(wrong)?;
    let ip = address(value.bytes("IP")).ok_or_else(wrong)?;
    let mask = value.bytes("Mask");
    // A mask of sixteen bytes may belong to an IPv4 address.
    let skip = if ip.is_ipv4() { mask.len().saturating_sub(4) } else { 0 };
    let mask = address(mask.get(skip..).unwrap_or_default()).ok_or_else(wrong)?;
    let prefix = match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    };
    u8::try_from(prefix).ok().and_then(|prefix| IpNetwork::new(ip, prefix).ok()).ok_or_else(wrong)
}

/// The plugin's end of a connection.
pub struct Client<S> {
    decoder: Decoder<BufReader<S>>,
    encoder: Encoder,
    sequence: u64,
}

impl<S: Read + Write> Client<S> {
    /// Opens the conversation over a connected socket.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it is no daemon's.
    pub fn open(mut stream: S) -> Result<Self, Error> {
        stream.write_all(CONNECT)?;
        let mut stream = BufReader::new(stream);
        let head = head(&mut stream)?;
        if !head.contains(CONNECTED) {
            let first = head.lines().next().unwrap_or_default();
            return Err(Error::Protocol(format!("the answer was {first:?}, not a dhcp daemon's")));
        }
        Ok(Self { decoder: Decoder::new(stream), encoder: Encoder::default(), sequence: 0 })
    }

    /// Makes one call and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Refused`] with the daemon's own words; else the connection's.
    pub fn call(&mut self, method: &str, args: &CmdArgs) -> Result<Answer, Error> {
        let request = Value::Struct(vec![
            ("ServiceMethod".to_owned(), Value::Text(method.to_owned())),
            ("Seq".to_owned(), Value::Uint(self.sequence)),
        ]);
        self.sequence += 1;
        let mut out = self.encoder.encode(Type::Struct(&REQUEST), &request);
        out.extend(self.encoder.encode(Type::Struct(&CMD_ARGS), &args.to_value()));
        self.decoder.get_mut().get_mut().write_all(&out)?;
        let response = self.next()?;
        let body = self.next()?;
        match response.text("Error") {
            "" => Answer::from_value(&body),
            said => Err(Error::Refused(said.to_owned())),
        }
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.decoder.read()?.ok_or_else(|| {
            Error::Protocol("the daemon closed the connection without an answer".into())
        })
    }
}

/// The daemon's end of a connection.
pub struct Session<S> {
    decoder: Decoder<BufReader<S>>,
    encoder: Encoder,
}

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// [`ALLOCATE`], [`RELEASE`] or whatever the plugin wrote.
    pub method: String,
    /// Its parameters.
    pub args: CmdArgs,
    sequence: u64,
}

impl<S: Read + Write> Session<S> {
    /// Answers the plugin's opening.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it is no plugin's; it has been told so.
    pub fn accept(stream: S) -> Result<Self, Error> {
        let mut stream = BufReader::new(stream);
        let head = head(&mut stream)?;
        let first = head.lines().next().unwrap_or_default();
        let mut words = first.split(' ');
        if words.next() != Some("CONNECT") || words.next() != Some("/_goRPC_") {
            let _ = stream.get_mut().write_all(
                b"HTTP/1.0 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
                  405 must CONNECT\n",
            );
            return Err(Error::Protocol(format!("{first:?} is not how a plugin begins")));
        }
        stream.get_mut().write_all(format!("HTTP/1.0 {CONNECTED}\n\n").as_bytes())?;
        Ok(Self { decoder: Decoder::new(stream), encoder: Encoder::default() })
    }

    /// The next call; `None` when the plugin has hung up.
    ///
    /// # Errors
    /// The connection's.
    pub fn next_call(&mut self) -> Result<Option<Incoming>, Error> {
        let Some(request) = self.decoder.read()? else { return Ok(None) };
        let Some(args) = self.decoder.read()? else { return Ok(None) };
        Ok(Some(Incoming {
            method: request.text("ServiceMethod").to_owned(),
            args: CmdArgs::from_value(&args),
            sequence: request.number("Seq").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        }))
    }

    /// Answers a call; `Ok(None)` for a method without a result.
    ///
    /// # Errors
    /// When the plugin has hung up.
    pub fn answer(
        &mut self,
        call: &Incoming,
        answer: &Result<Option<Answer>, String>,
    ) -> Result<(), Error> {
        let said = answer.as_ref().err().cloned().unwrap_or_default();
        let response = Value::Struct(vec![
            ("ServiceMethod".to_owned(), Value::Text(call.method.clone())),
            ("Seq".to_owned(), Value::Uint(call.sequence)),
            ("Error".to_owned(), Value::Text(said)),
        ]);
        let mut out = self.encoder.encode(Type::Struct(&RESPONSE), &response);
        out.extend(match answer {
            Ok(Some(answer)) => self.encoder.encode(Type::Struct(&RESULT), &answer.to_value()),
            _ => self.encoder.encode(Type::Struct(&NOTHING), &Value::Struct(Vec::new())),
        });
        Ok(self.decoder.get_mut().get_mut().write_all(&out)?)
    }
}

/// Everything up to an empty line; what follows is gob's.
fn head(stream: &mut BufReader<impl Read>) -> Result<String, Error> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\n\n") && !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(Error::Protocol("an HTTP head without an end".into()));
        }
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
