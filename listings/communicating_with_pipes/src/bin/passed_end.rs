// ANCHOR: all
//! Passes the end of a third pipe to a child that runs a new program.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
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
    progress.read_to_string(&mut text)?;
    println!("progress: {text:?}");
    ensure!(child.wait()?.success(), "the child failed");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: child
fn child() -> Result<()> {
    let number = env::args().nth(2).context("the child needs a descriptor")?;
    let mut progress = inherited(number.parse()?)
        .with_context(|| format!("expected an open descriptor {number}"))?;
    println!("the result, on standard output");
    progress.write_all(b"half done, done")?;
    Ok(())
}

fn inherited(number: RawFd) -> Result<File> {
    ensure!(number > 2, "0, 1 and 2 belong to the standard library");
    // SAFETY: the borrow ends before anything can close the descriptor.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: the descriptor is open, as fcntl has shown, the parent opened it
    // for this process, and only this call takes it.
    Ok(unsafe { File::from_raw_fd(number) })
}
// ANCHOR_END: child
// ANCHOR_END: all
