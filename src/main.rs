//! Who is calling: a runtime, by CNI_COMMAND, or a person, by arguments.

#![no_main]

use std::ffi::OsString;
use std::path::Path;

use causeway::exit_code::ExitCode;

causeway::started_by_c!(run);

#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: causeway::kernel::raw::memory::Memory = causeway::kernel::raw::memory::Memory::new();

fn run(arguments: Vec<OsString>) -> ExitCode {
    #[cfg(feature = "faults")]
    causeway::kernel::raw::faults::begin();
    if !causeway::runtime::is_calling(&arguments) {
        return causeway::cli::run(arguments);
    }
    let program = arguments.first().and_then(|program| Path::new(program).file_name());
    let program = program.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    causeway::runtime::serve(&program, &arguments)
}
