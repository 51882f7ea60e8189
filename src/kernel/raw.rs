//! The few kernel calls that no safe wrapper offers; the only module with `unsafe`.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// `NS_GET_NSTYPE` of linux/nsfs.h: `_IO(0xb7, 0x3)`.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// The type of the namespace behind `fd`, one of the `CLONE_NEW*` flags (ioctl_ns(2)).
///
/// # Errors
/// `ENOTTY` when `fd` is not a namespace file.
pub fn namespace_type(fd: BorrowedFd<'_>) -> nix::Result<libc::c_int> {
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory of ours; `fd` is borrowed, so
    // it stays open during the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) })
}

/// Sets an integer option of a socket that nix has no name for, such as `NETLINK_EXT_ACK`
/// (setsockopt(2)).
///
/// # Errors
/// `ENOPROTOOPT` when the kernel does not know the option.
pub fn socket_option(
    socket: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> nix::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only
    // reads from it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(answer).map(drop)
}

/// Makes an inherited file descriptor number, such as 1 for stdout, our own.
///
/// # Errors
/// `EBADF` when nothing is open under that number.
pub fn adopt(fd: libc::c_int) -> nix::Result<OwnedFd> {
    // SAFETY: fcntl(F_DUPFD_CLOEXEC) reads and writes no memory of ours; the number it gives is
    // new and belongs to nobody else, so owning it is sound.
    unsafe {
        let copy = Errno::result(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3))?;
        Ok(OwnedFd::from_raw_fd(copy))
    }
}
