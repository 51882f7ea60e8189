//! Programs that take connections, from /proc/net (proc_net_tcp.txt of the kernel's documentation), in
//! the calling thread's network namespace.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::port::Transport;

/// `TCP_LISTEN`, and what an unconnected UDP socket has (`TCP_CLOSE`).
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";

/// The addresses at which a program takes connections to a port; `None` for a protocol that this cannot
/// be told of.
pub fn at(transport: Transport, port: u16) -> Option<Vec<IpAddr>> {
    let (files, state) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], LISTENING),
        Transport::Udp => (["udp", "udp6"], UNCONNECTED),
        Transport::Sctp => return None,
    };
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        found.extend(addresses(&text, state, port));
    }
    Some(found)
}

pub(crate) fn addresses<'t>(
    text: &'t str,
    state: &'t str,
    port: u16,
) -> impl Iterator<Item = IpAddr> + 't {
    text.lines().skip(1).filter_map(move |line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, is) = (words.next()?, words.next()?, words.next()?);
        let (address, at) = local.split_once(':')?;
        (is == state && u16::from_str_radix(at, 16).ok()? == port).then(|| parse(address))?
    })
}

/// Words of 32 bits in the machine's byte order, in hexadecimal.
fn parse(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((word, more)) = rest.split_at_checked(8) {
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
        rest = more;
    }
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some(Ipv4Addr::from(bytes).into()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_listen_are_found() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
             2: 0100007F:1F91 00000000:0000 0A 00000000:00000000\n\
             3: 0200580A:1F90 0100007F:9999 01 00000000:00000000\n";
        let found: Vec<_> = addresses(text, LISTENING, 8080).collect();
        let wanted: Vec<IpAddr> = vec!["0.0.0.0".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert_eq!(found, wanted);
        let text = "x\n 0: 00000000000000000000000000000000:0050 0:0 0A\n";
        let found: Vec<_> = addresses(text, LISTENING, 80).collect();
        assert_eq!(found, ["::".parse::<IpAddr>().unwrap()]);
    }
}
