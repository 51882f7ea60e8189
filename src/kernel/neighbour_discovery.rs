//! What a link has sent and heard of neighbour discovery (RFC 4861), by the kernel's own count.

use std::fs;

use super::error::Error;

/// Messages since the link came to its namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Router solicitations sent.
    pub solicitations: u64,
    /// Router advertisements received.
    pub advertisements: u64,
}

/// Counts the messages of a link of the calling thread's namespace (/proc/net/dev_snmp6,
/// `snmp6_dev_seq_show` in net/ipv6/proc.c).
///
/// # Errors
/// [`Error::File`] when the kernel does not count, as without IPv6.
pub fn count(link: &str) -> Result<Counted, Error> {
    // Not /proc/net, which is the first thread's.
    let path = format!("/proc/thread-self/net/dev_snmp6/{link}");
    let text = fs::read_to_string(&path).map_err(|source| Error::File {
        path: path.into(),
        doing: "count router advertisements",
        source,
    })?;
    Ok(read(&text))
}

pub(crate) fn read(text: &str) -> Counted {
    let find = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
        let found = lines.find(|(key, _)| *key == name);
        found.and_then(|(_, number)| number.trim().parse().ok()).unwrap_or(0)
    };
    Counted {
        solicitations: find("Icmp6OutRouterSolicits"),
        advertisements: find("Icmp6InRouterAdvertisements"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, read};

    #[test]
    fn the_kernels_table() {
        let text = "ifIndex                         \t2\n\
                    Icmp6InRouterAdvertisements     \t3\n\
                    Icmp6OutRouterSolicits          \t4\n\
                    Icmp6OutType133                 \t4\n";
        assert_eq!(read(text), Counted { solicitations: 4, advertisements: 3 });
        assert_eq!(read(""), Counted::default());
    }
}
