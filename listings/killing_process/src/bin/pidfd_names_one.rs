// ANCHOR: all
//! Proves that a pidfd never reaches another process than its own.

use anyhow::Result;

#[cfg(target_os = "linux")]
fn main() -> Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<()> {
    anyhow::bail!("this program needs pidfd_open, which only Linux has")
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::io;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    use anyhow::{Context, Result, bail};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal,
    };

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("worker") => worker(),
            Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
        }
    }

    // ANCHOR: proof
    fn parent() -> Result<()> {
        let mut worker = Command::new(env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        // Safe here: nobody has waited, so the number is still the worker's.
        let pidfd = pidfd_open(Pid::from_child(&worker), PidfdFlags::empty())?;

        assert_eq!(pidfd_send_signal(&pidfd, Signal::TERM), Ok(()));
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
        println!("in time: {}", worker.wait()?);
        let late = pidfd_send_signal(&pidfd, Signal::TERM);
        println!("afterwards: {late:?}");
        assert_eq!(late, Err(Errno::SRCH));
        Ok(())
    }
    // ANCHOR_END: proof

    fn worker() -> Result<()> {
        io::copy(&mut io::stdin(), &mut io::sink())
            .context("cannot read standard input")?;
        Ok(())
    }
}
// ANCHOR_END: all
