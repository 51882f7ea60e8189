//! Pods whose end the kernel has finished with.

use std::thread;
use std::time::{Duration, Instant};

use super::patience::patience;
use super::{Host, Pod};

impl Pod<'_> {
    /// Takes the namespace away and waits until the kernel has removed the links it was paired with, which
    /// it does some time afterwards.
    pub fn end(&self) {
        let links = self.json("ip -j link");
        let others: Vec<u64> = links
            .as_array()
            .expect("a list of links")
            .iter()
            .filter(|link| !link["link_netnsid"].is_null())
            .filter_map(|link| link["link_index"].as_u64())
            .collect();
        self.destroy();
        let start = Instant::now();
        while self.host.has_link_of(&others) {
            assert!(start.elapsed() < patience(), "links {others:?} outlive {}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Host {
    /// Whether one of its links has one of these indexes.
    fn has_link_of(&self, indexes: &[u64]) -> bool {
        let links = self.json("ip -j link");
        let mut links = links.as_array().into_iter().flatten();
        links.any(|link| link["ifindex"].as_u64().is_some_and(|index| indexes.contains(&index)))
    }
}
