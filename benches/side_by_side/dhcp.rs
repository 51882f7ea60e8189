//! What a case with DHCP finds there: a server that answers at once, and the daemon of the contender.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use causeway::dhcp::message::{Kind, Message, option};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use crate::Error;
use crate::network::Network;

/// A server and a daemon; they end when it is dropped.
pub struct Dhcp {
    daemon: Child,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Dhcp {
    /// Starts a server on a network's bridge, which has the gateway's address, and the daemon of the
    /// `dhcp` in a directory of plugins.
    pub fn start(network: &Network, plugins: &Path) -> Result<Self, Error> {
        let socket = listen(&network.bridge).map_err(Error::io("listen as a DHCP server"))?;
        let (ends, number) = (Arc::new(AtomicBool::new(false)), network.number);
        let has_ended = Arc::clone(&ends);
        let server = thread::spawn(move || serve(&socket, number, &has_ended));
        let path = network.daemon_socket();
        fs::create_dir_all("/run/cni").map_err(Error::io("make /run/cni"))?;
        let daemon = Command::new(plugins.join("dhcp"))
            .args(["daemon", "-socketpath", &path])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start the dhcp daemon"))?;
        let dhcp = Self { daemon, ends, server: Some(server) };
        let start = Instant::now();
        while !Path::new(&path).exists() {
            if start.elapsed() > Duration::from_secs(10) {
                let stderr = format!("it does not listen at {path}");
                return Err(Error::Tool { tool: "dhcp daemon".to_owned(), stderr });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(dhcp)
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        // Both end with this process, too.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        self.ends.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// The server's port, on one link alone.
fn listen(link: &str) -> io::Result<UdpSocket> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::BindToDevice, &link.into())?;
    let everywhere = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67));
    bind(socket.as_raw_fd(), &everywhere)?;
    let socket = UdpSocket::from(socket);
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// Every client has an address of its own, and keeps it.
fn serve(socket: &UdpSocket, number: u8, ends: &AtomicBool) {
    let mut addresses = HashMap::new();
    let mut buffer = [0; 2048];
    while !ends.load(Ordering::Relaxed) {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        let Some(message) = buffer.get(..length).and_then(Message::read) else { continue };
        let kind = match message.kind {
            Kind::Discover => Kind::Offer,
            Kind::Request => Kind::Ack,
            _ => continue,
        };
        let client = message.option(option::CLIENT_ID).unwrap_or(&message.mac.0).to_vec();
        let next = u8::try_from(addresses.len() % 250 + 2).unwrap_or(u8::MAX);
        let yours = *addresses.entry(client).or_insert(Ipv4Addr::new(10, number, 1, next));
        let mut answer = Message::new(kind, message.transaction, message.mac);
        answer.broadcast = message.broadcast;
        answer.yours = yours;
        let server = [10, number, 0, 1];
        answer.set(option::SERVER, server);
        answer.set(option::LEASE_TIME, 3600_u32.to_be_bytes());
        answer.set(option::SUBNET_MASK, [255, 255, 0, 0]);
        answer.set(option::ROUTER, server);
        let is_new = message.client.is_unspecified();
        let to = if is_new { Ipv4Addr::BROADCAST } else { message.client };
        let _ = socket.send_to(&answer.to_bytes(), (to, 68));
    }
}
