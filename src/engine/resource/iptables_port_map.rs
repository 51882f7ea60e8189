//! Temporary.
#![allow(missing_docs)]
use super::{Kind, Made};
use crate::engine::{Error, Node, Owner};
use crate::kernel::port::Mapping;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IptablesPortMap {
    pub owner: Owner,
    pub pods: Vec<IpNetwork>,
    pub mappings: Vec<Mapping>,
    pub snat: bool,
    pub masq_all: bool,
    pub mark_bit: u8,
    pub set_mark_chain: Option<String>,
    pub conditions_v4: Vec<String>,
    pub conditions_v6: Vec<String>,
}
impl Kind for IptablesPortMap {
    fn describe(&self) -> String {
        String::new()
    }
    fn create(&self, _n: &mut Node<'_>) -> Result<Made, Error> {
        Err(Error::Conflict(
            "port mappings by iptables are not built yet; use backend nftables".into(),
        ))
    }
    fn verify(&self, _n: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(vec![])
    }
    fn remove(&self, _n: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
