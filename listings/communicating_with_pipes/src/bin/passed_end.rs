// ANCHOR: all
//! Passes the end of a third pipe to a child that runs a new program.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (mut progress, writer) = os_pipe::pipe()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("child").arg(writer.as_raw_fd().to_string());
    // SAFETY: between fork and exec the closure makes one system call, and
    // fcntl is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        });
    }
    let mut child = command.spawn().context("cannot start the child")?;
    // The closure owns the writer, and the command owns the closure.
    drop(command);

    let mut text = String::new();
    let read = progress.read_to_string(&mut text);
    drop(progress);
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    read.context("cannot read the progress")?;
    println!("progress: {text:?}");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: child
fn child() -> Result<()> {
    let number = env::args().nth(2).context("the child needs a descriptor")?;
    let number = number.parse().context("a descriptor is a number")?;
    // SAFETY: only the parent calls this role, and what it names is a pipe's
    // end for this process; nothing else here uses it.
    let mut progress = unsafe { inherited(number) }
        .with_context(|| format!("expected an open descriptor {number}"))?;
    println!("the result, on standard output");
    progress.write_all(b"half done, done")?;
    Ok(())
}

/// Takes a descriptor that was passed to this program.
///
/// # Safety
/// Nothing else in this process may own the descriptor, or use it.
unsafe fn inherited(number: RawFd) -> io::Result<File> {
    if number <= 2 {
        return Err(io::Error::other("it belongs to the standard library"));
    }
    // nix's fcntl wants a descriptor that is open, and whether this one is,
    // fcntl is to tell.
    // SAFETY: the call sets a flag; a number that is not open is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and as the caller promises nobody else's.
    Ok(unsafe { File::from_raw_fd(number) })
}
// ANCHOR_END: child
// ANCHOR_END: all
