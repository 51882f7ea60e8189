//! Faults on purpose, for tests: with the Cargo feature `faults`, and never in a release, the n-th step
//! of a call fails as `CAUSEWAY_FAULT=KIND:N:HOW` says.
//!
//! KIND is what is counted, from 1: `netlink` requests, `file` operations, `lock`s, `child` processes, or
//! `step`, which is all of them together, a batch of requests counting once. HOW is an errno, such as
//! `ENOMEM`, `lost`, `kill` or `term`:
//!
//! - An errno refuses the step, which then does not happen. A netlink request is sent all the same, but
//!   as one that no kernel knows, and its refusal gets the errno: so requests in the same batch or
//!   transaction fare as they would beside a real refusal.
//! - `lost` does the step and loses the answer. Netlink then says ENOBUFS, as when a socket's buffer
//!   overflows; a file operation EIO, as from a disk on the network; a child seems to have been killed.
//! - `kill` and `term` end the process by SIGKILL and SIGTERM just before the step.
//!
//! What was struck is told on stderr, once. Requests are counted in two functions of [`super`], through
//! which all netlink goes. The other steps are counted in the C library's own functions, which this file
//! replaces for the whole program, so that no operation can be forgotten.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::errno::Errno;

/// The environment variable that orders a fault.
const ORDER: &CStr = c"CAUSEWAY_FAULT";

/// A message type of nf_tables' that no kernel has; rtnetlink knows it no better.
const NOBODYS: u16 = (10 << 8) | 0xff;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`, which are no requests.
const FRAMES: std::ops::RangeInclusive<u16> = 0x10..=0x11;
/// `NLMSG_ERROR`.
const REFUSAL: u16 = 2;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Netlink,
    File,
    Lock,
    Child,
    Step,
}

/// What becomes of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Refused(Errno),
    Lost,
    Ended(c_int),
}

/// What CAUSEWAY_FAULT orders.
struct Order {
    kind: Kind,
    number: u64,
    how: How,
}

/// A netlink request that was struck and whose answer is still out.
struct Struck {
    socket: RawFd,
    sequence: u32,
    how: How,
}

static STRUCK: Mutex<Option<Struck>> = Mutex::new(None);

fn order() -> Option<&'static Order> {
    static READ: OnceLock<Option<Order>> = OnceLock::new();
    READ.get_or_init(|| {
        // SAFETY: the name ends in a NUL; the value is copied before anybody could change it.
        let value = unsafe {
            let value = libc::getenv(ORDER.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
        }?;
        let read = Order::read(&value);
        if read.is_none() {
            say(&format!("CAUSEWAY_FAULT={value} orders nothing that is known"));
        }
        read
    })
    .as_ref()
}

impl Order {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let kind = match parts.next()? {
            "netlink" => Kind::Netlink,
            "file" => Kind::File,
            "lock" => Kind::Lock,
            "child" => Kind::Child,
            "step" => Kind::Step,
            _ => return None,
        };
        let number = parts.next()?.parse().ok()?;
        let how = match parts.next()? {
            "lost" => How::Lost,
            "kill" => How::Ended(libc::SIGKILL),
            "term" => How::Ended(libc::SIGTERM),
            "EPERM" => How::Refused(Errno::EPERM),
            "ENOMEM" => How::Refused(Errno::ENOMEM),
            "EBUSY" => How::Refused(Errno::EBUSY),
            "ENOSPC" => How::Refused(Errno::ENOSPC),
            "EEXIST" => How::Refused(Errno::EEXIST),
            _ => return None,
        };
        Some(Self { kind, number, how })
    }
}

/// Counts a step; says what becomes of it if it is the one that was ordered.
fn strike(kind: Kind) -> Option<How> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let order = order()?;
    if order.kind != kind {
        return None;
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    if number != order.number {
        return None;
    }
    say(&format!("CAUSEWAY_FAULT: struck {kind:?} number {number}"));
    if let How::Ended(signal) = order.how {
        // SAFETY: no memory is touched.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    Some(order.how)
}

/// Tells the test what was done. Not with anything that is counted.
fn say(text: &str) {
    let line = format!("{text}\n");
    // SAFETY: pointer and length describe `line`, which outlives the call; the kernel only reads.
    unsafe { libc::syscall(libc::SYS_write, 2, line.as_ptr(), line.len()) };
}

/// The requests of a datagram: where each begins, its type and its sequence number.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (usize, u16, u32)> + '_ {
    let mut place = 0usize;
    std::iter::from_fn(move || {
        let header = bytes.get(place..)?.get(..16)?;
        let length = usize::try_from(u32::from_ne_bytes(header.get(..4)?.try_into().ok()?)).ok()?;
        let kind = u16::from_ne_bytes(header.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(header.get(8..12)?.try_into().ok()?);
        let here = place;
        place = place.checked_add(length.max(16).next_multiple_of(4))?;
        Some((here, kind, sequence))
    })
}

/// What is sent in the place of `bytes`.
pub fn sending<'b>(socket: BorrowedFd<'_>, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    strike(Kind::Step);
    let mut sent = Cow::Borrowed(bytes);
    for (place, kind, sequence) in messages(bytes) {
        if FRAMES.contains(&kind) {
            continue;
        }
        let Some(how) = strike(Kind::Netlink) else { continue };
        *STRUCK.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Struck { socket: socket.as_raw_fd(), sequence, how });
        if how != How::Lost
            && let Some(kind) = sent.to_mut().get_mut(place.saturating_add(4)..)
            && let Some(kind) = kind.get_mut(..2)
        {
            kind.copy_from_slice(&NOBODYS.to_ne_bytes());
        }
    }
    sent
}

/// Changes, or loses, an answer that was read.
pub fn received(socket: BorrowedFd<'_>, answer: &mut Vec<u8>) -> nix::Result<()> {
    let mut struck = STRUCK.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(one) = &*struck else { return Ok(()) };
    if one.socket != socket.as_raw_fd() {
        return Ok(());
    }
    let Some((place, kind, _)) = messages(answer).find(|(_, _, of)| *of == one.sequence) else {
        return Ok(());
    };
    let how = one.how;
    match how {
        How::Lost => {
            *struck = None;
            answer.clear();
            return Err(Errno::ENOBUFS);
        }
        How::Refused(errno) if kind == REFUSAL => {
            let start = place.saturating_add(16);
            if let Some(code) = answer.get_mut(start..).and_then(|rest| rest.get_mut(..4)) {
                code.copy_from_slice(&(errno as i32).wrapping_neg().to_ne_bytes());
            }
            *struck = None;
        }
        _ => {}
    }
    Ok(())
}

/// Does a step, unless it is refused. Its answer is a system call's by the C library: -1 with errno.
fn done(kind: Kind, deed: impl FnOnce() -> c_long) -> c_long {
    strike(Kind::Step);
    match strike(kind) {
        None | Some(How::Ended(_)) => deed(),
        Some(How::Refused(errno)) => refuse(errno),
        Some(How::Lost) => {
            deed();
            refuse(Errno::EIO)
        }
    }
}

fn refuse(errno: Errno) -> c_long {
    errno.set();
    -1
}

/// Standard input, output and error are the runtime's, and no files of ours.
fn is_ours(file: c_int) -> bool {
    file > libc::STDERR_FILENO
}

/// Functions of the C library's that are one system call each, with what they count as.
macro_rules! replaced {
    ($($kind:ident $name:ident($($argument:ident: $of:ty),*) -> $answer:ty
       $(where $condition:expr)? => $number:ident($($given:expr),*);)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $of),*) -> $answer {
                // SAFETY: the arguments are handed on as the caller gave them.
                let deed = || unsafe { libc::syscall(libc::$number, $($given),*) };
                $(if !$condition {
                    return deed() as $answer;
                })?
                done(Kind::$kind, deed) as $answer
            }
        )+

        /// Every function that is replaced. Naming them has them linked.
        const ALL: &[*const ()] = &[
            $($name as *const (),)+ opendir as *const (), posix_spawnp as *const (),
            waitpid as *const (),
        ];
    };
}

type Text = *const c_char;
type Bytes = *const c_void;

replaced! {
    File open(path: Text, flags: c_int, mode: libc::mode_t) -> c_int
        => SYS_openat(libc::AT_FDCWD, path, flags, mode);
    File open64(path: Text, flags: c_int, mode: libc::mode_t) -> c_int
        => SYS_openat(libc::AT_FDCWD, path, flags | libc::O_LARGEFILE, mode);
    File openat(folder: c_int, path: Text, flags: c_int, mode: libc::mode_t) -> c_int
        => SYS_openat(folder, path, flags, mode);
    File openat64(folder: c_int, path: Text, flags: c_int, mode: libc::mode_t) -> c_int
        => SYS_openat(folder, path, flags | libc::O_LARGEFILE, mode);
    File read(file: c_int, to: Bytes, length: usize) -> isize where is_ours(file)
        => SYS_read(file, to, length);
    File write(file: c_int, from: Bytes, length: usize) -> isize where is_ours(file)
        => SYS_write(file, from, length);
    File pread64(file: c_int, to: Bytes, length: usize, place: i64) -> isize
        => SYS_pread64(file, to, length, place);
    File pwrite64(file: c_int, from: Bytes, length: usize, place: i64) -> isize
        => SYS_pwrite64(file, from, length, place);
    File ftruncate64(file: c_int, length: i64) -> c_int => SYS_ftruncate(file, length);
    File mkdir(path: Text, mode: libc::mode_t) -> c_int
        => SYS_mkdirat(libc::AT_FDCWD, path, mode);
    File rename(from: Text, to: Text) -> c_int
        => SYS_renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0);
    File renameat2(from_in: c_int, from: Text, to_in: c_int, to: Text, flags: u32) -> c_int
        => SYS_renameat2(from_in, from, to_in, to, flags);
    File unlink(path: Text) -> c_int => SYS_unlinkat(libc::AT_FDCWD, path, 0);
    File unlinkat(folder: c_int, path: Text, flags: c_int) -> c_int
        => SYS_unlinkat(folder, path, flags);
    File rmdir(path: Text) -> c_int
        => SYS_unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR);
    File symlink(target: Text, path: Text) -> c_int
        => SYS_symlinkat(target, libc::AT_FDCWD, path);
    File symlinkat(target: Text, folder: c_int, path: Text) -> c_int
        => SYS_symlinkat(target, folder, path);
    File linkat(from_in: c_int, from: Text, to_in: c_int, to: Text, flags: c_int) -> c_int
        => SYS_linkat(from_in, from, to_in, to, flags);
    File readlink(path: Text, to: Bytes, length: usize) -> isize
        => SYS_readlinkat(libc::AT_FDCWD, path, to, length);
    File readlinkat(folder: c_int, path: Text, to: Bytes, length: usize) -> isize
        => SYS_readlinkat(folder, path, to, length);
    File futimens(file: c_int, times: Bytes) -> c_int
        => SYS_utimensat(file, std::ptr::null::<c_char>(), times, 0);
    File mount(from: Text, on: Text, kind: Text, flags: libc::c_ulong, data: Bytes) -> c_int
        => SYS_mount(from, on, kind, flags, data);
    File umount2(path: Text, flags: c_int) -> c_int => SYS_umount2(path, flags);
    Lock flock(file: c_int, operation: c_int) -> c_int => SYS_flock(file, operation);
}

/// The C library's own function of that name.
fn original(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in a NUL. The C library has the functions that are asked for.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn opendir(path: Text) -> *mut libc::DIR {
    // SAFETY: the C library's function has this type; the path is handed on as the caller gave it.
    let deed = || unsafe {
        let call: unsafe extern "C" fn(Text) -> *mut libc::DIR =
            std::mem::transmute(original(c"opendir"));
        call(path)
    };
    strike(Kind::Step);
    match strike(Kind::File) {
        None | Some(How::Ended(_)) => deed(),
        Some(How::Refused(errno)) => {
            errno.set();
            std::ptr::null_mut()
        }
        // Nothing changes by opening, so that nobody was answered is the same as a refusal.
        Some(How::Lost) => {
            Errno::EIO.set();
            std::ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    program: Text,
    files: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    type Call = unsafe extern "C" fn(
        *mut libc::pid_t,
        Text,
        *const libc::posix_spawn_file_actions_t,
        *const libc::posix_spawnattr_t,
        *const *mut c_char,
        *const *mut c_char,
    ) -> c_int;
    strike(Kind::Step);
    match strike(Kind::Child) {
        Some(How::Refused(errno)) => return errno as c_int,
        Some(How::Lost) => LOST.store(true, Ordering::Relaxed),
        None | Some(How::Ended(_)) => {}
    }
    // SAFETY: the C library's function has this type; the arguments are handed on as they are.
    unsafe {
        let call: Call = std::mem::transmute(original(c"posix_spawnp"));
        call(pid, program, files, attributes, arguments, environment)
    }
}

/// Whether the next child that ends is to seem killed.
static LOST: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[unsafe(no_mangle)]
unsafe extern "C" fn waitpid(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t {
    // SAFETY: the arguments are handed on as the caller gave them.
    let ended = unsafe {
        libc::syscall(libc::SYS_wait4, pid, status, options, std::ptr::null_mut::<c_void>())
    };
    if ended > 0 && !status.is_null() && LOST.swap(false, Ordering::Relaxed) {
        // SAFETY: the caller's place for the status, which the kernel has just written to.
        unsafe { *status = libc::SIGKILL };
    }
    ended as libc::pid_t
}

/// Has the replaced functions linked into the program.
pub fn begin() {
    std::hint::black_box(ALL);
}
