//! How long a program runs before it speaks to the kernel about networks: from `execve` to the first
//! netlink message, for every plugin type; by strace, which stops it at few system calls only.

use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::contender::{Contender, Verb};
use crate::host::Host;
use crate::network::{Kind, Shape};
use crate::round::Entrant;
use crate::statistics::Spread;
use crate::{Error, trace};

/// What a program did first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It sent a netlink message.
    Message,
    /// It connected to a socket, such as the dhcp daemon's, and had sent no message before.
    Connection,
    /// It answered, and had done neither before.
    Answer,
}

impl First {
    fn text(self) -> &'static str {
        match self {
            Self::Message => "netlink message",
            Self::Connection => "connection to the daemon",
            Self::Answer => "answer",
        }
    }
}

/// Measures ADD of every type, prints the table, and gives the rows for programs.
pub fn run(contenders: &[Contender], rounds: usize) -> Result<Vec<Value>, Error> {
    println!(
        "\nFrom execve to the first netlink message of an ADD, in milliseconds, over {rounds} calls; \
         strace takes part of it.\n  type          who         median       min       max   first of all"
    );
    let mut rows = Vec::new();
    for kind in Kind::ALONE {
        let host = Rc::new(Host::new()?);
        let shape = Shape { kind, masquerade: false, dual_stack: false, prefix: 16 };
        for (contender, number) in contenders.iter().zip(1..) {
            if !contender.takes_part(kind) {
                continue;
            }
            let mut entrant = Entrant::enter(contender, shape, number, Rc::clone(&host))?;
            let mut times = Vec::new();
            let mut first = None;
            // One more to warm up.
            for round in 0..=rounds {
                let (time, what) = once(&mut entrant)?;
                if round > 0 {
                    times.push(time);
                    first = Some(what);
                }
            }
            if let (Some(spread), Some(first)) = (Spread::of(times.iter().copied()), first) {
                println!(
                    "  {:13} {:9} {:8.2}  {:8.2}  {:8.2}   {}",
                    kind.plugin(),
                    contender.name,
                    spread.median / 1e3,
                    spread.min / 1e3,
                    spread.max / 1e3,
                    first.text()
                );
                rows.push(json!({
                    "type": kind.plugin(), "who": contender.name, "first": first.text(),
                    "us": times.iter().map(Duration::as_micros).collect::<Vec<_>>(),
                }));
            }
        }
    }
    Ok(rows)
}

/// One ADD, which may fail after its first message, as where the kernel lacks the type; then DEL.
fn once(entrant: &mut Entrant<'_>) -> Result<(Duration, First), Error> {
    let mut pod = entrant.next_pod()?;
    let mut seen = None;
    let answer = entrant.contender.perform(Verb::Add, &entrant.network, &pod, &mut |call| {
        let (time, first, answer) = trace::first(call)?;
        seen = seen.or(Some((time, first)));
        Ok(answer)
    })?;
    pod.result = serde_json::from_str(&answer).unwrap_or(Value::Null);
    entrant.contender.perform(Verb::Del, &entrant.network, &pod, &mut |call| {
        call.execute(Command::new(&call.program)).map(|_| String::new())
    })?;
    seen.ok_or_else(|| Error::Unreadable("nothing was called".to_owned()))
}
