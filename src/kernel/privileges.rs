//! What this process may do: less than root, from the moment that it is known what a call needs
//! (capabilities(7), prctl(2)). All of it holds for the calling thread and those that it starts.

use nix::errno::Errno;
use nix::sys::prctl;

use super::raw;

/// A set of capabilities; bits are numbered as in linux/capability.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Files and folders, whoever they belong to: `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`,
    /// `CAP_FOWNER`.
    pub const FILES: Self = Self(1 << 1 | 1 << 2 | 1 << 3);
    /// Links, addresses, routes, rules and raw sockets: `CAP_NET_ADMIN`, `CAP_NET_RAW`.
    pub const NETWORK: Self = Self(1 << 12 | 1 << 13);
    /// Entering a namespace: `CAP_SYS_ADMIN` (setns(2)).
    pub const NAMESPACES: Self = Self(1 << 21);
    /// Opening the namespaces of other users' processes below /proc: `CAP_SYS_PTRACE`.
    pub const PROCESSES: Self = Self(1 << 19);
    /// Listening at ports below 1024: `CAP_NET_BIND_SERVICE`.
    pub const PORTS: Self = Self(1 << 10);
    /// Loading kernel modules: `CAP_SYS_MODULE`. Of ours, the kernel loads them by itself.
    pub const MODULES: Self = Self(1 << 16);
    /// Ending what was started, also when it changed its user: `CAP_KILL`.
    pub const KILLING: Self = Self(1 << 5);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What programs that a call runs need, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Children {
    /// Nothing that this process does not need itself; or none is run.
    Modest,
    /// iptables, which may have to load its modules.
    Iptables,
    /// Anything: plugins of others, and programs with an SELinux label of their own.
    Any,
}

/// No memory of this process gets into a core file, and only root may look into it. Children are not
/// concerned: the kernel sets it anew for each program (`begin_new_exec` in fs/exec.c). A limit
/// (`RLIMIT_CORE`) would be, and does not count where a program takes the cores.
pub fn no_core() {
    if let Err(errno) = prctl::set_dumpable(false) {
        log::debug!("core dumps stay on: {}", errno.desc());
    }
}

/// Gives up every capability but `own`, and, unless `children` may be anything, has them get no more
/// than that, either. A kernel that refuses is no reason to fail.
///
/// Without `no_new_privs` a program that root executes gets all capabilities back; with it, it has at
/// most the permitted ones of this process (`cap_bprm_creds_from_file` in security/commoncap.c). So
/// this one setting does what removing some thirty capabilities from the bounding set would.
pub fn keep(own: Capabilities, children: Children) {
    let permitted = match children {
        Children::Modest => own,
        Children::Iptables => own.and(Capabilities::MODULES),
        Children::Any => {
            // Only root's children get theirs anew.
            if !nix::unistd::geteuid().is_root() {
                return;
            }
            own.and(Capabilities::KILLING)
        }
    };
    let kept = match raw::set_capabilities(own.0, permitted.0) {
        // Some of them this process has not got itself.
        Err(Errno::EPERM) => raw::capabilities()
            .and_then(|held| raw::set_capabilities(own.0 & held, permitted.0 & held)),
        other => other,
    };
    let kept = match children {
        Children::Any => kept,
        _ => kept.and(prctl::set_no_new_privs()),
    };
    if let Err(errno) = kept {
        log::debug!("privileges could not be given up: {}", errno.desc());
    }
}
