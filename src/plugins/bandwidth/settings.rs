//! The keys of a `bandwidth` configuration: all those of the reference plugin's release 1.9.1, and
//! `shapedSubnets` and `unshapedSubnets`, which releases 1.5.0 to 1.6.0 had.

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::engine::resource::shaper::Limit;
use crate::kernel::tc::subnets::Subnets;
use crate::plugins::Error;
use crate::protocol::address::parse_cidr;
use crate::protocol::config::{Bandwidth, section};
use crate::protocol::request::Request;

/// The least rate in bits per second, and burst in bits: the kernel counts bytes.
const LEAST: u64 = 8;
/// The largest rate: what it lets through in 25 ms must be below 4 GiB, the longest queue.
const FASTEST: u64 = 1_374_389_534_400;

/// The keys as they stand in the configuration itself.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Bits per second to the container; 0 is no limit.
    #[cfg_attr(test, schemars(range(min = 0, max = FASTEST)))]
    ingress_rate: Option<u64>,
    /// Bits that may go to it at once after a time of silence.
    ingress_burst: Option<u64>,
    /// Bits per second from the container; 0 is no limit.
    #[cfg_attr(test, schemars(range(min = 0, max = FASTEST)))]
    egress_rate: Option<u64>,
    /// Bits that may come from it at once.
    egress_burst: Option<u64>,
    /// Only traffic with these networks is limited.
    shaped_subnets: Option<Vec<String>>,
    /// Traffic with these networks is not limited.
    unshaped_subnets: Option<Vec<String>>,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The limit to what is sent to the container.
    pub ingress: Option<Limit>,
    /// The limit to what it sends.
    pub egress: Option<Limit>,
    /// To what both apply.
    pub subnets: Subnets,
}

impl Settings {
    /// Reads and checks the configuration of a request. As with the reference plugin, what the
    /// runtime gives counts only if the configuration has none of the keys itself.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, &[])?;
        match (keys.given(), &request.config.runtime.bandwidth) {
            (Some(own), _) => Self::of("", &own),
            (None, Some(asked)) => Self::of("runtimeConfig.bandwidth.", asked),
            (None, None) => Ok(Self::default()),
        }
    }

    fn of(path: &str, asked: &Bandwidth) -> Result<Self, Error> {
        let settings = Self {
            ingress: limit(path, "ingress", asked.ingress_rate, asked.ingress_burst)?,
            egress: limit(path, "egress", asked.egress_rate, asked.egress_burst)?,
            subnets: subnets(path, &asked.shaped_subnets, &asked.unshaped_subnets)?,
        };
        Ok(settings)
    }

    /// Whether nothing is to be limited.
    pub fn is_empty(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }

    /// The key of the first limit, for messages.
    pub fn first_key(&self) -> &'static str {
        if self.ingress.is_some() { "ingressRate" } else { "egressRate" }
    }
}

impl Keys {
    /// What the configuration itself says; `None` if it has none of the keys.
    fn given(self) -> Option<Bandwidth> {
        let numbers = [self.ingress_rate, self.ingress_burst, self.egress_rate, self.egress_burst];
        let lists = [&self.shaped_subnets, &self.unshaped_subnets];
        if numbers.iter().all(Option::is_none) && lists.iter().all(|list| list.is_none()) {
            return None;
        }
        let [ingress_rate, ingress_burst, egress_rate, egress_burst] =
            numbers.map(Option::unwrap_or_default);
        Some(Bandwidth {
            ingress_rate,
            ingress_burst,
            egress_rate,
            egress_burst,
            shaped_subnets: self.shaped_subnets.unwrap_or_default(),
            unshaped_subnets: self.unshaped_subnets.unwrap_or_default(),
        })
    }
}

fn limit(path: &str, direction: &str, rate: u64, burst: u64) -> Result<Option<Limit>, Error> {
    let (rate_key, burst_key) = (format!("{direction}Rate"), format!("{direction}Burst"));
    let wrong = |key: &str, problem: String| Err(Error::config(format!("{path}{key}"), problem));
    let limit = match (rate, burst) {
        (0, 0) => return Ok(None),
        (0, burst) => {
            return wrong(
                &rate_key,
                format!("is missing or 0, but {burst_key} is {burst}: give both or none"),
            );
        }
        (rate, 0) => {
            return wrong(
                &burst_key,
                format!("is missing or 0, but {rate_key} is {rate}: give both or none"),
            );
        }
        (rate, burst) => Limit { rate, burst },
    };
    for (key, number) in [(&rate_key, rate), (&burst_key, burst)] {
        if number < LEAST {
            return wrong(key, format!("{number} is less than a byte: give at least {LEAST} bits"));
        }
    }
    if burst / 8 >= u64::from(u32::MAX) {
        let most = u64::from(u32::MAX) * 8 - 1;
        return wrong(
            &burst_key,
            format!("{burst} bits are more than the 4 GiB that tbf can carry: give at most {most}"),
        );
    }
    if rate > FASTEST {
        return wrong(
            &rate_key,
            format!("{rate} bit/s is beyond what tbf can carry: give at most {FASTEST}"),
        );
    }
    if !limit.shape().is_feasible() {
        let least = (rate / 8_000_000 + 1) * 8;
        return wrong(
            &burst_key,
            format!(
                "{burst} bits are gone within a microsecond at {rate} bit/s, which the kernel cannot \
                 tell from none: give at least {least}"
            ),
        );
    }
    Ok(Some(limit))
}

fn subnets(path: &str, shaped: &[String], unshaped: &[String]) -> Result<Subnets, Error> {
    let networks = |key: &str, list: &[String]| -> Result<Vec<IpNetwork>, Error> {
        let one = |(place, text): (usize, &String)| {
            parse_cidr(text)
                .map_err(|error| Error::config(format!("{path}{key}[{place}]"), error.to_string()))
        };
        list.iter().enumerate().map(one).collect()
    };
    let shaped = networks("shapedSubnets", shaped)?;
    let unshaped = networks("unshapedSubnets", unshaped)?;
    match (shaped.is_empty(), unshaped.is_empty()) {
        (true, true) => Ok(Subnets::All),
        (false, true) => Ok(Subnets::Only(shaped)),
        (true, false) => Ok(Subnets::AllBut(unshaped)),
        (false, false) => Err(Error::config(
            format!("{path}shapedSubnets"),
            "cannot be given together with unshapedSubnets: keep one of the two",
        )),
    }
}
