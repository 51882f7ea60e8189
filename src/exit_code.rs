//! What a run of the program ends with.

/// The exit code of the program. Unlike the standard library's it can be looked at, as [`main`] must, which
/// the C library calls.
///
/// [`main`]: crate::started_by_c
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// Something did not; what it was has been told.
    pub const FAILURE: Self = Self(1);

    /// Ends the process with this code, after what is still to be printed.
    pub fn exit(self) -> ! {
        std::process::exit(self.0.into())
    }
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
