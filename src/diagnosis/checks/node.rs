//! The host: rights, forwarding, reverse path filter, kernel, directories.

use crate::diagnosis::facts::{Facts, IpFamily, Lack};
use crate::diagnosis::{Finding, Fix, Severity};

use super::quoted;
use crate::kernel::sysctl::dotted;

pub(in crate::diagnosis) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    rights(facts, findings);
    forwarding(facts, findings);
    reverse_path(facts, findings);
    kernel(facts, findings);
    directories(facts, findings);
    for unread in &facts.unread {
        let why = "What could not be read could not be checked either.";
        findings.push(Finding::new("unread", Severity::Warning, unread.clone(), why));
    }
}

fn rights(facts: &Facts, findings: &mut Vec<Finding>) {
    for (has, name) in
        [(facts.rights.net_admin, "CAP_NET_ADMIN"), (facts.rights.sys_admin, "CAP_SYS_ADMIN")]
    {
        if !has {
            findings.push(Finding::new(
                "rights",
                Severity::Error,
                format!("this process lacks {name}"),
                "Namespaces cannot be entered or rules not be read without it, nor can plugins work; \
                 run it as root.",
            ));
        }
    }
}

fn sysctl(name: &str, value: &str) -> (String, Fix) {
    let command = format!("sysctl -w {}={value}", dotted(name));
    (command, Fix::Sysctl { name: name.to_owned(), value: value.to_owned() })
}

fn forwarding(facts: &Facts, findings: &mut Vec<Finding>) {
    let wanted = |family| facts.attachments.iter().any(|one| one.forwarded.contains(&family));
    for (family, title, name) in [
        (IpFamily::Ipv4, "IPv4", "net/ipv4/ip_forward"),
        (IpFamily::Ipv6, "IPv6", "net/ipv6/conf/all/forwarding"),
    ] {
        if wanted(family) && facts.sysctl(name) == "0" {
            let (command, fix) = sysctl(name, "1");
            let what = format!("the host does not forward {title}");
            let why = "Pods reach nothing beyond their own bridge, and nothing reaches them. \
                       Something has set it back since they were attached: look for it in \
                       /etc/sysctl.d.";
            let finding = Finding::new("forwarding", Severity::Error, what, why);
            findings.push(finding.mended_by(command).fixed_by(fix));
        }
    }
    if facts.sysctl("net/ipv4/ip_forward") != "1" || !wanted(IpFamily::Ipv4) {
        return;
    }
    for (name, value) in &facts.sysctls {
        let Some(link) = name
            .strip_prefix("net/ipv4/conf/")
            .and_then(|rest| rest.strip_suffix("/forwarding"))
            .filter(|_| value == "0")
        else {
            continue;
        };
        let (command, fix) = sysctl(name, "1");
        let what = format!("{link} does not forward, although the host does");
        let why = "What pods send through it goes no further.";
        let finding = Finding::new("forwarding", Severity::Error, what, why);
        findings.push(finding.mended_by(command).fixed_by(fix));
    }
}

/// A strict reverse path filter drops what comes in by another link than the host would answer by.
fn reverse_path(facts: &Facts, findings: &mut Vec<Finding>) {
    for attachment in facts.attachments.iter().filter(|one| one.alive) {
        let Some(link) = attachment.bridge.as_ref().or(attachment.host_link.as_ref()) else {
            continue;
        };
        // While the link is down or has no address, the host has no route by it: that is told already.
        let is_cut = facts.link(link).is_none_or(|link| !link.up)
            || attachment.wrong.iter().any(|wrong| wrong.kind.to_lowercase().contains("gateway"));
        for (address, other) in attachment.elsewhere.iter().filter(|_| !is_cut) {
            let what = format!(
                "the host answers {address} of {} by {other}, not by {link}",
                attachment.title()
            );
            let why = format!(
                "Some route is more specific, or was made by somebody else; see: ip route get \
                 {address}. Answers do not reach the pod."
            );
            findings.push(Finding::new("way-back", Severity::Error, what, why));
            let number = |name: &str| facts.sysctl(name).parse::<u8>().unwrap_or_default();
            let own = format!("net/ipv4/conf/{link}/rp_filter");
            let strict = number(&own).max(number("net/ipv4/conf/all/rp_filter")) == 1;
            if strict && address.is_ipv4() {
                let (command, _) = sysctl(&own, "2");
                let what =
                    format!("the strict reverse path filter of {link} drops what {address} sends");
                let why = "rp_filter=1 takes packets only from where the host would answer; 2 takes \
                           them if it would answer at all.";
                findings
                    .push(Finding::new("rp-filter", Severity::Error, what, why).mended_by(command));
            }
        }
    }
}

fn kernel(facts: &Facts, findings: &mut Vec<Finding>) {
    let needs = |name: &str| {
        facts.configurations.iter().any(|one| one.types.iter().any(|kind| kind == name))
    };
    if !facts.kernel.nf_tables && (needs("bridge") || needs("portmap") || needs("firewall")) {
        let what = "this kernel has no nf_tables, or does not let this process look";
        let why = "Masquerading, port mappings and the firewall use it unless the configuration asks \
                   for iptables.";
        let finding = Finding::new("kernel", Severity::Error, what, why);
        findings.push(finding.mended_by("modprobe nf_tables"));
    }
    for Lack { feature, option, plugin } in &facts.kernel.lacks {
        let what = format!("the kernel has no {feature} ({option}), which plugin {plugin} needs");
        let why = format!(
            "An ADD that needs it fails. Install the modules of {} (Debian: linux-image, \
             linux-modules-extra), or another kernel.",
            facts.kernel.release
        );
        findings.push(Finding::new("kernel", Severity::Error, what, why));
    }
    if let (Some(legacy), Some(nft)) = (facts.legacy_tables.first(), facts.nft_tables.first()) {
        let what = format!(
            "iptables is used in both of its variants: {legacy} outside nf_tables, {nft} within"
        );
        let why = "Packets meet the rules of both, each program shows only its own, and one variant's \
                   accept does not outdo the other's drop. Have everything use one \
                   (update-alternatives --config iptables).";
        findings.push(Finding::new("iptables-variants", Severity::Warning, what, why));
    }
}

/// Others than the owner may write.
const WRITABLE: u32 = 0o022;
/// Only the owner of a file may remove it.
const STICKY: u32 = 0o1000;

fn directories(facts: &Facts, findings: &mut Vec<Finding>) {
    for directory in &facts.directories {
        let path = directory.path.display();
        let Some(mode) = directory.mode else { continue };
        if !directory.is_directory {
            let what = format!("{path} is no directory");
            let why = "Plugins keep their state there and fail.";
            findings.push(Finding::new("directory", Severity::Error, what, why));
        } else if directory.read_only {
            let what = format!("{path} is on a file system that is mounted read-only");
            let why = "Plugins keep their state there and fail.";
            findings.push(Finding::new("directory", Severity::Error, what, why));
        } else if mode & WRITABLE != 0 && mode & STICKY == 0 {
            let what = format!("everybody may write into {path} (mode {mode:04o})");
            let why = "Whoever writes there decides what is removed at the next DEL, as root.";
            let command = format!("chmod go-w {}", quoted(&path.to_string()));
            let finding = Finding::new("directory", Severity::Warning, what, why);
            findings.push(finding.mended_by(command));
        } else if directory.uid != 0 {
            let what = format!("{path} belongs to user {}, not to root", directory.uid);
            let why = "That user decides what is removed at the next DEL, as root.";
            let command = format!("chown root: {}", quoted(&path.to_string()));
            let finding = Finding::new("directory", Severity::Warning, what, why);
            findings.push(finding.mended_by(command));
        }
    }
}
