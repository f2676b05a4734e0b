// ANCHOR: all
//! Proves that a child's new program does not get the ends of a pipe.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::process::Command;
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

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
    let status = Command::new(env::current_exe()?)
        .arg("child")
        .arg(from_os_pipe.as_raw_fd().to_string())
        .arg(from_std.as_raw_fd().to_string())
        .status()
        .context("cannot start the child")?;
    ensure!(status.success(), "the child failed");
    Ok(())
}

// ANCHOR: proof
fn child() -> Result<()> {
    let numbers: Vec<_> = env::args().skip(2).collect();
    ensure!(numbers.len() == 2, "the child needs two descriptors");
    for (number, maker) in numbers.iter().zip(["os_pipe", "std"]) {
        // SAFETY: the borrow is used for one question, and an answer that the
        // descriptor is not open is the one that is expected.
        let end = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
        assert_eq!(fcntl(end, FcntlArg::F_GETFD), Err(Errno::EBADF));
        println!("{maker}: the number is no open descriptor in the child");
    }
    Ok(())
}
// ANCHOR_END: proof
// ANCHOR_END: all
