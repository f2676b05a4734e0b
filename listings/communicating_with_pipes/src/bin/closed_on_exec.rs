// ANCHOR: all
//! Proves that a child's new program does not get the ends of a pipe.

use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    let (_reader, from_os_pipe) = os_pipe::pipe()?;
    let (_reader, from_std) = io::pipe()?;
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .arg(from_os_pipe.as_raw_fd().to_string())
        .arg(from_std.as_raw_fd().to_string())
        .spawn()
        .context("cannot start the child")?;
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

// ANCHOR: proof
fn child() -> Result<()> {
    let numbers: Vec<_> = env::args().skip(2).collect();
    ensure!(numbers.len() == 2, "the child needs two descriptors");
    assert_eq!(flags(1), Ok(0), "standard output is open");
    for (number, maker) in numbers.iter().zip(["os_pipe", "std"]) {
        assert_eq!(flags(number.parse()?), Err(Errno::EBADF));
        println!("{maker}: the number is no open descriptor in the child");
    }
    Ok(())
}

/// A descriptor's flags. nix's fcntl wants one that is known to be open.
fn flags(number: RawFd) -> nix::Result<i32> {
    // SAFETY: the call reads flags; a number that is not open is an error.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })
}
// ANCHOR_END: proof
// ANCHOR_END: all
