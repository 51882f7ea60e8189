//! Many pods that come, or go, at once: how long until the last one is done.

use std::fs;
use std::process::Command;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::contender::{Contender, Verb};
use crate::host::{Host, settle};
use crate::network::{Network, Pod, Shape};
use crate::round::{Entrant, LEAST_ROUNDS, Row};
use crate::turns::order;
use crate::{Effort, Error, Measured};

/// Pods of a burst.
pub const PODS: usize = 100;

/// The kernel's unit of CPU time in /proc, the same on every architecture: proc_pid_stat(5).
const TICKS_PER_SECOND: u64 = 100;

/// Measures bursts of [`PODS`] with so many calls at once, on a host for each contender. What is measured is
/// the whole burst.
pub fn run(
    shape: Shape,
    concurrency: usize,
    contenders: &[&Contender],
    effort: &Effort,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for verb in [Verb::Add, Verb::Del] {
        rows.extend(contenders.iter().map(|contender| Row::new(verb, contender.name)));
    }
    let mut entrants = Vec::new();
    for (&contender, number) in contenders.iter().zip(1..) {
        let mut entrant = Entrant::enter(contender, shape, number, Rc::new(Host::new()?))?;
        let mut pods = (0..PODS).map(|_| entrant.next_pod()).collect::<Result<Vec<_>, _>>()?;
        // The reference's portmap fails where two make its first chain at once.
        for verb in [Verb::Add, Verb::Del] {
            at_once(&entrant, verb, pods.get_mut(..1).unwrap_or_default(), 1, Duration::MAX)?;
        }
        entrants.push((entrant, pods));
    }

    let start = Instant::now();
    // The first round makes bridges and tables, and does not count.
    for round in 0..=effort.bursts {
        if start.elapsed() > effort.limit_of_many && round > LEAST_ROUNDS {
            break;
        }
        for whose in order(entrants.len(), round) {
            let Some((entrant, pods)) = entrants.get_mut(whose) else { continue };
            entrant.host.enter()?;
            settle();
            for verb in [Verb::Add, Verb::Del] {
                let (measured, _) = at_once(entrant, verb, pods, concurrency, Duration::MAX)?;
                let who = entrant.contender.name;
                let row = rows.iter_mut().find(|row| row.verb == verb && row.who == who);
                if let Some(row) = row.filter(|_| round > 0) {
                    row.measured.push(measured);
                }
            }
        }
    }
    Ok(rows)
}

/// Makes the calls for all pods, so many of them at once. They are ready for the opposite verb then. Says
/// how many were made before the limit, at which no more are begun.
pub fn at_once(
    entrant: &Entrant<'_>,
    verb: Verb,
    pods: &mut [Pod],
    concurrency: usize,
    limit: Duration,
) -> Result<(Measured, usize), Error> {
    let Entrant { contender, network, .. } = entrant;
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    let (start, cpu) = (Instant::now(), cpu_of_children()?);
    thread::scope(|scope| {
        for _ in 0..concurrency.min(pods.len()) {
            scope.spawn(|| {
                while start.elapsed() < limit
                    && let Some((place, pod)) = take(pods, &next)
                {
                    let answer = call(contender, verb, network, pod);
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((place, answer));
                    }
                }
            });
        }
    });
    let (wall, cpu) = (start.elapsed(), cpu_of_children()?.saturating_sub(cpu));
    let answers = answers.into_inner().unwrap_or_default();
    let made = answers.len();
    for (place, answer) in answers {
        let answer = answer?;
        if let Some(pod) = pods.get_mut(place) {
            pod.result = match verb {
                Verb::Add => serde_json::from_str(&answer).unwrap_or(Value::Null),
                _ => Value::Null,
            };
        }
    }
    Ok((Measured { wall, cpu, peak_rss_kib: None }, made))
}

/// The next pod that nobody has taken.
fn take<'a>(pods: &'a [Pod], next: &AtomicUsize) -> Option<(usize, &'a Pod)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    pods.get(place).map(|pod| (place, pod))
}

fn call(contender: &Contender, verb: Verb, network: &Network, pod: &Pod) -> Result<String, Error> {
    contender.perform(verb, network, pod, &mut |call| {
        let output = call.execute(Command::new(&call.program))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(call.refused(output.status.code().unwrap_or(-1), &output))
    })
}

/// Of every process that has been waited for: the 16th and 17th field of /proc/self/stat. Before them
/// stands the program's name in parentheses, which may contain anything.
fn cpu_of_children() -> Result<Duration, Error> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(Error::io("read /proc/self/stat"))?;
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|number| number.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
