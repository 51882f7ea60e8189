//! Names of sysctls as configurations write them.

/// What stands for CNI_IFNAME in a name.
const IFNAME: &str = "IFNAME";

/// The name of a setting below `net`, which cannot lead anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysctlKey {
    text: String,
    path: String,
}

impl SysctlKey {
    /// Reads a name. Dots and slashes both separate, as the reference plugin has it; a name with an
    /// interface in it that itself has dots can only be written with `IFNAME`.
    ///
    /// # Errors
    /// What is wrong, to be said after the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.replace('.', "/");
        let mut parts = path.split('/');
        let is_bad = |part: &str| part.is_empty() || part.contains(|c: char| c.is_control());
        // Two dots one after the other have become an empty part, too.
        if path.split('/').any(is_bad) {
            return Err("is not the name of a sysctl: it must be words with one dot or slash \
                        between them, such as net.ipv4.conf.IFNAME.arp_filter"
                .into());
        }
        if parts.next() != Some("net") || parts.next().is_none() {
            return Err("is not below net, and so not the container's own: only names that begin \
                        with net. can be set"
                .into());
        }
        Ok(Self { text: text.to_owned(), path })
    }

    /// The name as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name with slashes, in which `IFNAME` still stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name with slashes for an interface, whose name must have been validated: it replaces the
    /// first `IFNAME`.
    pub fn of(&self, ifname: &str) -> String {
        self.path.replacen(IFNAME, ifname, 1)
    }

    /// Whether the setting is one of the interface itself.
    pub fn is_of(&self, ifname: &str) -> bool {
        self.of(ifname).split('/').any(|part| part == ifname)
    }

    /// The setting that new interfaces take theirs from, if there is one: where the interface is not
    /// there yet, it tells whether there is a setting of that name.
    pub fn of_new_interfaces(&self, ifname: &str) -> Option<String> {
        let path = self.of(ifname);
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["net", family @ ("ipv4" | "ipv6"), kind @ ("conf" | "neigh"), one, setting]
                if *one == ifname =>
            {
                Some(format!("net/{family}/{kind}/default/{setting}"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn of(text: &str, ifname: &str) -> String {
        SysctlKey::parse(text).unwrap().of(ifname)
    }

    #[test]
    fn dots_and_slashes_separate() {
        for text in [
            "net.ipv4.conf.all.rp_filter",
            "net/ipv4/conf/all/rp_filter",
            "net.ipv4/conf.all/rp_filter",
        ] {
            assert_eq!(of(text, "eth0"), "net/ipv4/conf/all/rp_filter");
        }
    }

    #[test]
    fn the_interface_is_filled_in_once() {
        assert_eq!(of("net.ipv6.conf.IFNAME.mtu", "eth0.5"), "net/ipv6/conf/eth0.5/mtu");
        assert_eq!(of("net.x.IFNAME.IFNAME", "eth0"), "net/x/eth0/IFNAME");
        let key = SysctlKey::parse("net.ipv6.conf.IFNAME.mtu").unwrap();
        assert!(key.is_of("eth0.5"));
        assert!(SysctlKey::parse("net.ipv6.conf.eth0.mtu").unwrap().is_of("eth0"));
        assert!(!SysctlKey::parse("net.ipv6.conf.all.mtu").unwrap().is_of("eth0"));
    }

    #[test]
    fn a_setting_of_an_interface_has_one_of_new_ones_beside_it() {
        let default = |text: &str| SysctlKey::parse(text).unwrap().of_new_interfaces("eth0");
        assert_eq!(
            default("net.ipv4.conf.IFNAME.arp_filter").as_deref(),
            Some("net/ipv4/conf/default/arp_filter")
        );
        assert_eq!(
            default("net/ipv6/neigh/eth0/base_reachable_time_ms").as_deref(),
            Some("net/ipv6/neigh/default/base_reachable_time_ms")
        );
        assert_eq!(default("net.ipv4.conf.all.arp_filter"), None);
        assert_eq!(default("net.mpls.conf.IFNAME.input"), None);
    }

    #[test]
    fn nothing_leads_out_of_net() {
        for text in [
            "",
            "net",
            "net.",
            "kernel.hostname",
            "network.x",
            "/net/ipv4/ip_forward",
            "net..ipv4.ip_forward",
            "net/../kernel/hostname",
            "net/ipv4/../../kernel/hostname",
            "net//ipv4/ip_forward",
            "net.ipv4.ip_forward\n",
            "net.ipv4.ip\0forward",
            "IFNAME.ipv4.ip_forward",
        ] {
            assert!(SysctlKey::parse(text).is_err(), "{text:?}");
        }
    }
}
