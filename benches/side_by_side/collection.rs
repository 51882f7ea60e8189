//! GC on a node with many attachments, of which some are no longer wanted.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::burst::at_once;
use crate::contender::{Contender, Verb};
use crate::host::{Host, settle};
use crate::network::{Pod, Shape};
use crate::round::{Entrant, Row};
use crate::{Effort, Error, Measured};

/// Attachments on the node.
pub const ATTACHMENTS: usize = 1_000;

/// How many are attached at once.
const CONCURRENCY: usize = 8;

/// Measures GC with so many stale attachments, whose namespaces are still there, for one contender
/// after the other, each on a host of its own.
pub fn run(
    shape: Shape,
    stale: usize,
    contenders: &[&Contender],
    stopwatch: &Path,
    effort: &Effort,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for contender in contenders.iter().filter(|contender| contender.collects()) {
        let mut row = Row::new(Verb::Gc, contender.name);
        let mut entrant = Entrant::enter(contender, shape, 1, Rc::new(Host::new()?))?;
        let pods = (0..ATTACHMENTS).map(|_| entrant.next_pod()).collect::<Result<Vec<_>, _>>();
        let mut pods = pods?;
        at_once(&entrant, Verb::Add, &mut pods, CONCURRENCY, Duration::MAX)?;
        let valid = pods.split_off(stale);
        let mut stale = pods;
        let start = Instant::now();
        for round in 0..effort.collections {
            if start.elapsed() > effort.limit_of_many && round > 0 {
                break;
            }
            settle();
            row.measured.push(collect(&entrant, &valid, stopwatch)?);
            for pod in &mut stale {
                pod.result = serde_json::Value::Null;
            }
            at_once(&entrant, Verb::Add, &mut stale, CONCURRENCY, Duration::MAX)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

fn collect(entrant: &Entrant<'_>, valid: &[Pod], stopwatch: &Path) -> Result<Measured, Error> {
    let mut all = Measured::default();
    entrant.contender.collect(&entrant.network, valid, &mut |call| {
        let (one, answer) = call.measure(stopwatch)?;
        all.add(one);
        Ok(answer)
    })?;
    Ok(all)
}
