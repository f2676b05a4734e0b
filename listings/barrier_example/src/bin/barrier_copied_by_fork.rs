// ANCHOR: all
//! Proves that fork copies a `std::sync::Barrier`: nobody meets anybody.

use std::env;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Barrier;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

const STILL_BLOCKED_MS: u16 = 20;

fn main() -> Result<()> {
    match env::args().nth(1) {
        None => parent(),
        Some(arg) => bail!("unknown argument {arg:?}: this program takes none"),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let barrier = Barrier::new(2);
    let mut parties = [fork_party(&barrier)?, fork_party(&barrier)?];
    for party in &mut parties {
        assert_eq!(party.says_within(PollTimeout::NONE)?, Some(b'a'));
    }
    let brief = PollTimeout::from(STILL_BLOCKED_MS);
    for party in &mut parties {
        assert_eq!(party.says_within(brief)?, None, "it still waits");
    }
    println!("two parties have arrived at a barrier for two, and both wait");
    Ok(())
}
// ANCHOR_END: proof

/// A forked child that is killed and reaped at the end.
struct Party {
    pid: Pid,
    output: PipeReader,
}

fn fork_party(barrier: &Barrier) -> Result<Party> {
    let (output, writer) = io::pipe()?;
    // SAFETY: this process has one thread, so no lock is held by another.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(Party { pid: child, output }),
        ForkResult::Child => {
            drop(output);
            let done = arrive(barrier, writer);
            // SAFETY: ends this process without running the parent's code.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
    }
}

fn arrive(barrier: &Barrier, mut output: PipeWriter) -> Result<()> {
    output.write_all(b"a")?;
    barrier.wait();
    Ok(output.write_all(b"g")?)
}

impl Party {
    fn says_within(&mut self, timeout: PollTimeout) -> Result<Option<u8>> {
        let mut ends = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ends, timeout)? == 0 {
            return Ok(None);
        }
        let mut byte = [0];
        let length = self.output.read(&mut byte)?;
        ensure!(length == 1, "a party has ended");
        Ok(Some(byte[0]))
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}
// ANCHOR_END: all
