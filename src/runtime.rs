//! A call by a runtime: environment and stdin in; a result, an error or nothing on stdout.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;

use crate::exit_code::ExitCode;
use crate::kernel::privileges;
use crate::logging;
use crate::plugins::{self, Deliver, Error};
use crate::protocol::error::{CniError, Code};
use crate::protocol::request::{Request, Verb};
use crate::protocol::version::Version;
use crate::tally;

/// Stdout, which gets one text at most: the result or the error.
struct Stdout;

/// Whether stdout has got its text, or a part of it.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// The version of the call, once it is read.
static VERSION: OnceLock<Version> = OnceLock::new();

impl Deliver for Stdout {
    fn deliver(&mut self, text: &str) -> io::Result<()> {
        let stdout = io::stdout();
        let mut rest = text.as_bytes();
        ANSWERED.store(true, Ordering::Relaxed);
        while !rest.is_empty() {
            match nix::unistd::write(stdout.as_fd(), rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Whether the environment or the arguments ask for the plan instead of the deed.
fn wants_explanation(arguments: &[OsString]) -> bool {
    let by_variable =
        std::env::var_os("CAUSEWAY_EXPLAIN").is_some_and(|value| !value.is_empty() && value != "0");
    by_variable || arguments.iter().any(|argument| argument == "--explain")
}

/// Whether this is a runtime's call: no arguments but `--explain`, and either CNI_COMMAND or no
/// terminal.
pub fn is_calling(arguments: &[OsString]) -> bool {
    let plain = arguments.iter().skip(1).all(|argument| argument == "--explain");
    let command = std::env::var_os("CNI_COMMAND").is_some_and(|command| !command.is_empty());
    plain && (command || !io::stdin().is_terminal() || arguments.len() > 1)
}

/// Serves the call.
pub fn serve(program: &str, arguments: &[OsString]) -> ExitCode {
    privileges::no_core();
    logging::start();
    std::panic::set_hook(Box::new(fail));
    let start = Instant::now();
    let mut request = None;
    let done = answer(program, arguments, &mut request).map_err(|error| error.to_cni());
    logging::call_ended(request.as_ref(), start.elapsed(), &done);
    if !wants_explanation(arguments) {
        count(program, request.as_ref(), start, &done);
    }
    let Err(mut error) = done else { return ExitCode::SUCCESS };
    if error.cni_version.is_empty() {
        let version = request.map_or(Version::CURRENT, |request| request.config.version);
        error.cni_version = version.to_string();
    }
    if let Err(failure) = Stdout.deliver(&error.to_json()) {
        log::error!("the error could not be written to stdout: {failure}");
    }
    ExitCode::FAILURE
}

/// Reads the request, and does what it asks.
fn answer(
    program: &str,
    arguments: &[OsString],
    request: &mut Option<Request>,
) -> Result<(), Error> {
    let mut stdin: Box<dyn io::Read> = if io::stdin().is_terminal() {
        Box::new(io::empty())
    } else {
        Box::new(io::stdin().lock())
    };
    let read = Request::read(&|name| std::env::var_os(name), &mut stdin);
    let read = request.insert(read.map_err(Error::from)?);
    let config = &read.config;
    let _ = VERSION.set(config.version);
    let (level, format) = (config.log_level.as_deref(), config.log_format.as_deref());
    logging::configure(level, config.log_file.as_deref(), format);
    if wants_explanation(arguments) {
        return explain(program, read);
    }
    plugins::call::run(program, read, &mut Stdout)
}

/// The answer to a call that fails by a defect of the program. The process ends here, and nothing is undone,
/// since what can be trusted of its memory is not known: the record of what it was about to make is on disk.
fn fail(panic: &PanicHookInfo<'_>) {
    log::error!("{panic}");
    let mut error = CniError::new(
        Code::Internal,
        "causeway itself failed; the next DEL or GC removes what this call has left",
        "this is a defect; please report it with the log",
    );
    error.cni_version = VERSION.get().unwrap_or(&Version::CURRENT).to_string();
    if !ANSWERED.load(Ordering::Relaxed)
        && let Err(failure) = Stdout.deliver(&error.to_json())
    {
        log::error!("the error could not be written to stdout: {failure}");
    }
    ExitCode::FAILURE.exit()
}

fn explain(program: &str, request: &Request) -> Result<(), Error> {
    if request.verb != Verb::Add {
        return Err(Error::Environment {
            variable: "CNI_COMMAND",
            problem: format!("only ADD can be explained, not {}", request.verb),
        });
    }
    let plan = plugins::call::explain(program, request)?;
    let mut text = format!(
        "ADD of {} on network {} as {} would:\n",
        request.container_id, request.config.name, request.ifname
    );
    for (number, resource) in plan.resources.iter().enumerate() {
        text.push_str(&format!("{:3}. {}\n", number + 1, resource.kind().describe()));
    }
    text.push_str("Nothing was changed.\n");
    Stdout.deliver(&text).map_err(Error::Undelivered)
}

/// Counts the call among those of its plugin, unless only the version or the plan was asked for.
fn count(program: &str, request: Option<&Request>, start: Instant, done: &Result<(), CniError>) {
    let verb = request.map_or("unreadable", |request| request.verb.as_str());
    if verb == Verb::Version.as_str() {
        return;
    }
    let plugin_type = request.map(|request| request.config.plugin_type.as_str());
    let known = plugins::find(program).or_else(|| plugins::find(plugin_type?));
    let plugin = known.map_or(plugins::SELF, |known| known.name);
    let code = done.as_ref().err().map(|error| error.code);
    tally::count(Path::new(tally::PLACE), plugin, verb, start.elapsed(), code);
}
