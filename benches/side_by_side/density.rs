//! One pod that comes and goes among others that are attached.

use std::path::Path;
use std::rc::Rc;

use crate::burst::at_once;
use crate::contender::{Contender, Verb};
use crate::host::Host;
use crate::network::Shape;
use crate::round::{Entrant, Row, take_turns};
use crate::{Effort, Error};

/// How many of the others are attached at once.
const CONCURRENCY: usize = 8;

/// Measures with so many others, which must be in rising order, and passes each number's rows on. Every
/// contender has a host of its own, and has attached the others itself.
pub fn run(
    shape: Shape,
    others: &[usize],
    contenders: &[&Contender],
    stopwatch: &Path,
    effort: &Effort,
    pass_on: &mut dyn FnMut(usize, &[Row]),
) -> Result<(), Error> {
    let mut entrants = Vec::new();
    for (&contender, number) in contenders.iter().zip(1..) {
        entrants.push(Entrant::enter(contender, shape, number, Rc::new(Host::new()?))?);
    }
    let mut attached = 0;
    for &wanted in others.iter().filter(|wanted| **wanted <= effort.most_others) {
        let mut slow = Vec::new();
        for entrant in &mut entrants {
            let mut pods = Vec::new();
            for _ in attached..wanted {
                pods.push(entrant.next_pod()?);
            }
            let limit = effort.limit_of_others;
            let (_, made) = at_once(entrant, Verb::Add, &mut pods, CONCURRENCY, limit)?;
            if made < pods.len() {
                println!(
                    "\n{}: only {made} of {} others were attached within {} s; left out from here on",
                    entrant.contender.name,
                    pods.len(),
                    limit.as_secs()
                );
                slow.push(entrant.contender.name);
            }
        }
        entrants.retain(|entrant| !slow.contains(&entrant.contender.name));
        attached = attached.max(wanted);
        let rows = take_turns(&[Verb::Add, Verb::Del], &mut entrants, stopwatch, effort)?;
        pass_on(wanted, &rows);
    }
    Ok(())
}
