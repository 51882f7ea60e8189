//! What a mapped port costs a packet, with 10, 100 and 1,000 mappings: how long a TCP connection
//! through the last of them takes to come about, and how much one carries.
//!
//! Each contender and number of mappings has a private host of its own, with a pod behind a bridge and
//! a client outside; rounds go through all of them in turn. Nothing of the machine is touched. Needs
//! root. `scripts/bench --packets` builds what it needs and calls it.

mod host;
#[path = "../side_by_side/statistics.rs"]
mod statistics;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use host::Host;
use statistics::{Spread, microseconds, ratio};

/// Measures connections through mapped ports.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench --packets")]
struct Arguments {
    /// The directory of causeway's binary and its links
    #[arg(long, value_name = "DIR", default_value = "dist")]
    causeway: PathBuf,
    /// The directory of the plugins to compare with
    #[arg(long, value_name = "DIR", default_value = "/usr/lib/cni")]
    reference: PathBuf,
    /// How many mappings a pod has
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 100, 1000])]
    mappings: Vec<u16>,
    /// Rounds, each of 100 connections and a stream of a fifth of a second for every host
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: usize,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const CONNECTIONS: usize = 100;
const STREAM: Duration = Duration::from_millis(200);
/// What a client asks of the server in the pod.
const FOR_A_STREAM: u8 = b's';

/// One host's figures.
struct Row {
    who: &'static str,
    mappings: u16,
    host: Host,
    attach: Duration,
    connects: Vec<Duration>,
    bytes_per_second: Vec<f64>,
}

fn serve(listener: &TcpListener) {
    for client in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let mut client = client;
            let mut asked = [0];
            if client.read(&mut asked).is_ok_and(|n| n == 1) && asked == [FOR_A_STREAM] {
                // Ends when the client has had enough.
                while client.write_all(&[0; 65536]).is_ok() {}
            }
        });
    }
}

fn connect(to: SocketAddr) -> io::Result<(TcpStream, Duration)> {
    let start = Instant::now();
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    Ok((stream, start.elapsed()))
}

fn stream(to: SocketAddr) -> io::Result<f64> {
    let (mut stream, _) = connect(to)?;
    stream.write_all(&[FOR_A_STREAM])?;
    let mut buffer = vec![0; 1 << 18];
    let (start, mut bytes) = (Instant::now(), 0_usize);
    while start.elapsed() < STREAM {
        bytes += stream.read(&mut buffer)?;
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

fn prepare(who: &'static str, plugins: &Path, mappings: u16) -> io::Result<Row> {
    let host = Host::new()?;
    let start = Instant::now();
    host.attach(plugins, mappings)?;
    let attach = start.elapsed();
    let listener =
        host.in_pod(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, host::CONTAINER_PORT)))?;
    std::thread::spawn(move || serve(&listener));
    Ok(Row { who, mappings, host, attach, connects: Vec::new(), bytes_per_second: Vec::new() })
}

fn measure(row: &mut Row) -> io::Result<()> {
    let to = SocketAddr::from((host::OUTSIDE, host::FIRST_PORT + row.mappings - 1));
    let (connects, rate) = row.host.at_client(|| {
        let connects: io::Result<Vec<_>> =
            (0..CONNECTIONS).map(|_| connect(to).map(|(_, took)| took)).collect();
        Ok::<_, io::Error>((connects?, stream(to)?))
    })?;
    row.connects.extend(connects);
    row.bytes_per_second.push(rate);
    Ok(())
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let contenders = [("causeway", &arguments.causeway), ("reference", &arguments.reference)];
    let mut rows = Vec::new();
    for &mappings in &arguments.mappings {
        for (who, plugins) in contenders {
            let plugins = plugins.canonicalize()?;
            rows.push(prepare(who, &plugins, mappings)?);
        }
    }
    // The first round warms up.
    for round in 0..=arguments.rounds {
        for row in &mut rows {
            measure(row)?;
            if round == 0 {
                row.connects.clear();
                row.bytes_per_second.clear();
            }
        }
    }
    println!(
        "\nTCP connections from outside through the last mapped port of one pod, {} for each row; \
         medians.\n/10 says how many times as long as with the first row's number of mappings.\n",
        arguments.rounds * CONNECTIONS
    );
    println!("  who        mappings   ADD (ms)   connect (µs)     p99    /10   Gbit/s    /10");
    let first: Vec<_> = contenders
        .iter()
        .filter_map(|(who, _)| {
            let row = rows.iter().find(|row| row.who == *who)?;
            Some((*who, figures(row)?))
        })
        .collect();
    for row in &rows {
        let Some(own) = figures(row) else { continue };
        let Some((_, least)) = first.iter().find(|(who, _)| *who == row.who) else { continue };
        println!(
            "  {:10} {:8} {:10.1} {:14.1} {:7.1} {:6.2} {:8.2} {:6.2}",
            row.who,
            row.mappings,
            row.attach.as_secs_f64() * 1e3,
            own.connect,
            own.p99,
            ratio(own.connect, least.connect).unwrap_or_default(),
            own.rate * 8.0 / 1e9,
            own.rate / least.rate,
        );
    }
    Ok(())
}

struct Figures {
    /// Microseconds, the median and what one of a hundred takes longer than.
    connect: f64,
    p99: f64,
    /// Bytes in a second.
    rate: f64,
}

fn figures(row: &Row) -> Option<Figures> {
    let mut connects = row.connects.clone();
    connects.sort();
    let p99 = microseconds(*connects.get(connects.len() * 99 / 100)?);
    let connect = Spread::of(connects.into_iter())?.median;
    let mut rates = row.bytes_per_second.clone();
    rates.sort_by(f64::total_cmp);
    Some(Figures { connect, p99, rate: *rates.get(rates.len() / 2)? })
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/bench --packets: {error}");
            ExitCode::FAILURE
        }
    }
}
