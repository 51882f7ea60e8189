//! The rounds of a case: every contender makes the same call, one after the other, then the next
//! call; in which order changes from round to round.

use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cases::Case;
use crate::contender::{Contender, Verb};
use crate::dhcp::Dhcp;
use crate::host::{Host, settle};
use crate::network::{Kind, Network, Pod, Shape};
use crate::trace::{self, Counted};
use crate::turns::order;
use crate::{Effort, Error, Measured};

/// A case never has fewer rounds than these, however long they take.
pub const LEAST_ROUNDS: usize = 3;

/// Before each call: what the kernel still has to do in the background for the last one is done
/// then, and is not put on the account of the next.
pub const PAUSE: Duration = Duration::from_millis(2);

/// What one contender's calls for one verb took.
pub struct Row {
    pub verb: Verb,
    pub who: &'static str,
    pub measured: Vec<Measured>,
    pub counted: Option<Counted>,
}

impl Row {
    pub fn new(verb: Verb, who: &'static str) -> Self {
        Self { verb, who, measured: Vec::new(), counted: None }
    }
}

/// A contender in a case.
pub struct Entrant<'a> {
    pub contender: &'a Contender,
    pub network: Network,
    pub host: Rc<Host>,
    /// Whether its system calls are counted.
    is_counted: bool,
    /// What runs beside it, to the entrant's end.
    _dhcp: Option<Dhcp>,
    /// What address management is told; it does nothing there.
    idle_netns: String,
    /// Pods made so far.
    pods: usize,
}

impl<'a> Entrant<'a> {
    /// With what its network finds on the host, in which this process is; `number` is the network's.
    pub fn enter(
        contender: &'a Contender,
        shape: Shape,
        number: u8,
        host: Rc<Host>,
    ) -> Result<Self, Error> {
        let network = Network::new(shape, contender.name, number);
        let has_dhcp = shape.kind == Kind::BridgeDhcp;
        if has_dhcp || (contender.needs_bridge() && shape.kind == Kind::Bridge) {
            host.make_bridge(&network)?;
        }
        let dhcp = has_dhcp.then(|| Dhcp::start(&network, &contender.path)).transpose()?;
        if matches!(shape.kind, Kind::Macvlan | Kind::Ipvlan | Kind::Vlan | Kind::HostDevice) {
            host.make_link(&network)?;
        }
        let idle_netns = host.make_pod_namespace(&format!("idle-{number}"))?;
        Ok(Self { contender, network, host, is_counted: true, _dhcp: dhcp, idle_netns, pods: 0 })
    }

    /// One more pod, with the interface that a chained plugin finds. This process is in its host then.
    pub fn next_pod(&mut self) -> Result<Pod, Error> {
        self.host.enter()?;
        let container_id = format!("{}-{}", self.contender.name, self.pods);
        let kind = self.network.shape.kind;
        let netns = if kind.only_leases() {
            self.idle_netns.clone()
        } else {
            self.host.make_pod_namespace(&container_id)?
        };
        let mut pod = Pod {
            number: self.pods,
            container_id,
            netns,
            macs: Default::default(),
            result: Value::Null,
        };
        if kind.is_chained() {
            pod.macs = self.host.make_interface(&self.network, &pod)?;
            pod.result = self.network.result_before(&pod);
        }
        self.pods += 1;
        Ok(pod)
    }

    fn measure(
        &self,
        verb: Verb,
        pod: &Pod,
        stopwatch: &Path,
    ) -> Result<(Measured, String), Error> {
        let mut all = Measured::default();
        let answer = self.contender.perform(verb, &self.network, pod, &mut |call| {
            let (one, answer) = call.measure(stopwatch)?;
            all.add(one);
            Ok(answer)
        })?;
        Ok((all, answer))
    }

    fn check_reach(&self, pod: &Pod) -> Result<(), Error> {
        for gateway in self.network.gateways() {
            if !self.host.reaches(&pod.netns, &gateway)? {
                return Err(Error::Unreachable { who: self.contender.name.to_owned(), gateway });
            }
        }
        Ok(())
    }
}

/// Measures a case in which one pod comes and goes after the other, all contenders on one host. Rows
/// come in the order of verbs, then contenders.
pub fn run(
    case: &Case,
    contenders: &[&Contender],
    stopwatch: &Path,
    effort: &Effort,
) -> Result<Vec<Row>, Error> {
    let host = Rc::new(Host::new()?);
    let mut entrants = Vec::new();
    for (&contender, number) in contenders.iter().zip(1..) {
        let mut entrant = Entrant::enter(contender, case.shape, number, Rc::clone(&host))?;
        if case.shape.kind == Kind::Vlan {
            host.make_vlan_gateways(&entrant.network)?;
        }
        if contender.has_leases() {
            host.write_leases(&entrant.network, case.leases_before(), case.is_nearly_full)?;
        }
        // The reference makes a dozen system calls for each lease: counting them would take minutes.
        entrant.is_counted = case.leases < 10_000 || contender.name != "reference";
        entrants.push(entrant);
    }
    take_turns(case.verbs, &mut entrants, stopwatch, effort)
}

/// Measures the verbs, in rounds, with a pod for each contender and round.
pub fn take_turns(
    verbs: &[Verb],
    entrants: &mut [Entrant<'_>],
    stopwatch: &Path,
    effort: &Effort,
) -> Result<Vec<Row>, Error> {
    let mut rows: Vec<Row> = Vec::new();
    for &verb in verbs {
        rows.extend(entrants.iter().map(|entrant| Row::new(verb, entrant.contender.name)));
    }
    let mut pods = Vec::new();
    for _ in 0..effort.warm_up + effort.rounds {
        pods.push(entrants.iter_mut().map(Entrant::next_pod).collect::<Result<Vec<_>, _>>()?);
    }
    settle();

    let start = Instant::now();
    for (round, mut pods) in pods.into_iter().enumerate() {
        let is_warm = round >= effort.warm_up;
        if start.elapsed() > effort.limit && round >= effort.warm_up + LEAST_ROUNDS {
            break;
        }
        for &verb in verbs {
            for whose in order(entrants.len(), round) {
                let (Some(entrant), Some(pod)) = (entrants.get(whose), pods.get_mut(whose)) else {
                    continue;
                };
                entrant.host.enter()?;
                thread::sleep(PAUSE);
                let (measured, answer) = entrant.measure(verb, pod, stopwatch)?;
                if verb == Verb::Add {
                    pod.result = serde_json::from_str(&answer).unwrap_or(Value::Null);
                    if round == 0 && entrant.network.shape.kind.reaches_gateways() {
                        entrant.check_reach(pod)?;
                    }
                }
                let row = row_of(&mut rows, verb, entrant.contender.name);
                if let Some(row) = row.filter(|_| is_warm) {
                    row.measured.push(measured);
                }
            }
        }
    }
    if effort.counts {
        count(verbs, entrants, &mut rows)?;
    }
    Ok(rows)
}

/// One more round, in which system calls and bytes are counted instead of time.
fn count(verbs: &[Verb], entrants: &mut [Entrant<'_>], rows: &mut [Row]) -> Result<(), Error> {
    for entrant in entrants.iter_mut().filter(|entrant| entrant.is_counted) {
        let mut pod = entrant.next_pod()?;
        for &verb in verbs {
            let mut counted = Counted::default();
            let answer = entrant.contender.perform(verb, &entrant.network, &pod, &mut |call| {
                let (one, answer) = trace::count(call)?;
                counted.add(one);
                Ok(answer)
            })?;
            if verb == Verb::Add {
                pod.result = serde_json::from_str(&answer).unwrap_or(Value::Null);
            }
            if let Some(row) = row_of(rows, verb, entrant.contender.name) {
                row.counted = Some(counted);
            }
        }
    }
    Ok(())
}

fn row_of<'a>(rows: &'a mut [Row], verb: Verb, who: &str) -> Option<&'a mut Row> {
    rows.iter_mut().find(|row| row.verb == verb && row.who == who)
}
