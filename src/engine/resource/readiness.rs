//! Waiting until the bridge port carries packets, so that the first packet is not lost.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel;
use crate::kernel::netlink::RouteSocket;

/// How long a port may take; the reference plugins' limit.
const LIMIT: Duration = Duration::from_millis(2550);

/// A bridge port that carries packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// The port's name on the host.
    pub port: String,
}

impl Kind for Readiness {
    fn describe(&self) -> String {
        format!("wait until {} carries packets", self.port)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // The pod's end must be up first.
        node.flush()?;
        let ready = |node: &mut Node<'_>| -> Result<bool, Error> {
            Ok(node.look_at(&self.port)?.is_some_and(|link| link.running))
        };
        // From 6.8 on asking for a link makes the kernel bring its state up to date
        // (`linkwatch_sync_dev` in rtnl_getlink), so the first look is the last.
        if ready(node)? {
            return Ok(Made::Now);
        }
        let start = Instant::now();
        let mut listener = RouteSocket::listen(libc::RTMGRP_LINK as u32)?;
        while !ready(node)? {
            let left = LIMIT.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(kernel::Error::TimedOut(format!(
                    "bridge port {} did not come up within {} ms; is the bridge's spanning tree holding it?",
                    self.port,
                    LIMIT.as_millis()
                ))
                .into());
            }
            listener.hear(u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1))?;
        }
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        // The veth pair's own check looks at both ends.
        Ok(Vec::new())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
