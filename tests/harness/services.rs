//! Servers in pods that say who they are and whom they see, and a world outside the host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::patience::{patience, silence};
use super::{Host, Pod};

const STEP: Duration = Duration::from_millis(100);

/// A machine outside the host, on a link of its own.
pub struct World<'h> {
    outside: Pod<'h>,
}

impl<'h> World<'h> {
    /// The host's own addresses on the link.
    pub const HOST_V4: &'static str = "192.0.2.1";
    /// As above.
    pub const HOST_V6: &'static str = "[2001:db8::1]";
    /// The other machine's address.
    pub const OUTSIDE_V4: &'static str = "192.0.2.2";

    /// Links a machine to the host. Its routes lead back to the host only.
    pub fn new(host: &'h Host) -> Self {
        let outside = host.pod("outside");
        host.run("ip link add uplink type veth peer name eth0 netns outside");
        host.run("ip addr add 192.0.2.1/24 dev uplink");
        host.run("ip addr add 2001:db8::1/64 dev uplink nodad");
        host.run("ip link set uplink up");
        outside.run("ip link set lo up");
        outside.run("ip addr add 192.0.2.2/24 dev eth0");
        outside.run("ip addr add 2001:db8::2/64 dev eth0 nodad");
        outside.run("ip link set eth0 up");
        outside.run("ip route add default via 192.0.2.1");
        Self { outside }
    }

    /// The other machine.
    pub fn outside(&self) -> &Pod<'h> {
        &self.outside
    }

    /// A client of the other machine that keeps its port.
    pub fn udp_client(&self, port: u16) -> Client {
        let socket = self.outside.inside(|| UdpSocket::bind(("0.0.0.0", port)).expect("a client"));
        socket.set_read_timeout(Some(STEP)).expect("set a timeout");
        Client(socket)
    }
}

/// A UDP socket that keeps its port.
pub struct Client(UdpSocket);

impl Client {
    /// Sends one datagram, whatever becomes of it.
    pub fn send(&self, to: &str) {
        let _ = self.0.send_to(b"hello", to);
    }

    /// Whether `service` is the one that answers at `to`.
    pub fn is_answered_by(&self, service: &Service, to: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < patience() {
            self.send(to);
            let mut buffer = [0; 256];
            if let Ok((length, _)) = self.0.recv_from(&mut buffer)
                && service.said(&buffer[..length]).is_some()
            {
                return true;
            }
        }
        false
    }
}

/// A server in a pod; it answers with a token of its own and the client's address.
pub struct Service {
    protocol: &'static str,
    token: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

static TOKENS: AtomicU64 = AtomicU64::new(1);

impl Service {
    /// Starts a server of `protocol` ("tcp" or "udp") at a port of a pod.
    pub fn start(pod: &Pod<'_>, protocol: &'static str, port: u16) -> Self {
        let token = format!("service-{}", TOKENS.fetch_add(1, Ordering::Relaxed));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, saying) = (Arc::clone(&stop), token.clone());
        let thread = if protocol == "tcp" {
            let listener = pod.inside(|| TcpListener::bind(("::", port)).expect("listen"));
            listener.set_nonblocking(true).expect("do not wait");
            std::thread::spawn(move || serve_tcp(&listener, &saying, &stopping))
        } else {
            let socket = pod.inside(|| UdpSocket::bind(("::", port)).expect("listen"));
            socket.set_read_timeout(Some(Duration::from_millis(20))).expect("set a timeout");
            std::thread::spawn(move || serve_udp(&socket, &saying, &stopping))
        };
        Self { protocol, token, stop, thread: Some(thread) }
    }

    /// Whether this is what answers a pod at `to` before patience ends.
    pub fn answers(&self, from: &Pod<'_>, to: &str) -> bool {
        from.inside(|| self.ask(to, patience())).is_some()
    }

    /// As [`Service::answers`], without much patience; for what must not be.
    pub fn answers_at_once(&self, from: &Pod<'_>, to: &str) -> bool {
        from.inside(|| self.ask(to, silence())).is_some()
    }

    /// Whether this is what answers the host itself at `to`.
    pub fn answers_host(&self, host: &Host, to: &str) -> bool {
        host.inside(|| self.ask(to, patience())).is_some()
    }

    /// The address that the server sees of a pod that asks at `to`.
    pub fn seen_from(&self, from: &Pod<'_>, to: &str) -> Option<String> {
        from.inside(|| self.ask(to, patience()))
    }

    /// The client's address in an answer, if it is this server's.
    fn said(&self, answer: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(answer);
        let (token, client) = text.trim().split_once(' ')?;
        (token == self.token).then(|| client.trim_start_matches("::ffff:").to_owned())
    }

    fn ask(&self, to: &str, limit: Duration) -> Option<String> {
        let to: SocketAddr = to.parse().expect("an address with a port");
        let start = Instant::now();
        loop {
            let answer = if self.protocol == "tcp" { ask_tcp(to) } else { ask_udp(to) };
            if let Some(client) = answer.and_then(|answer| self.said(&answer)) {
                return Some(client);
            }
            if start.elapsed() >= limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve_tcp(listener: &TcpListener, token: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut stream, client)) => {
                let _ = stream.write_all(format!("{token} {}", client.ip()).as_bytes());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn serve_udp(socket: &UdpSocket, token: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, client)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(format!("{token} {}", client.ip()).as_bytes(), client);
        }
    }
}

fn ask_tcp(to: SocketAddr) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, STEP).ok()?;
    stream.set_read_timeout(Some(STEP)).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

fn ask_udp(to: SocketAddr) -> Option<Vec<u8>> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a client");
    socket.set_read_timeout(Some(STEP)).ok()?;
    socket.send_to(b"who am I?", to).ok()?;
    let mut buffer = [0; 256];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}
