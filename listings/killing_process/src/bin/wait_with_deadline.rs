// ANCHOR: all
//! Waits for a process with a deadline, by a file descriptor for the process.

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
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::time::Duration;

    use anyhow::{Context, Result, bail};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("worker") => worker(),
            Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
        }
    }

    // ANCHOR: wait_timeout
    /// Waits up to `limit` for the end of `child`; `None` means: not yet.
    fn wait_timeout(
        child: &mut Child,
        limit: Duration,
    ) -> Result<Option<ExitStatus>> {
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
            .context("cannot open a descriptor for the process")?;
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::try_from(limit)?)? == 0 {
            return Ok(None);
        }
        Ok(Some(child.wait()?))
    }
    // ANCHOR_END: wait_timeout

    // ANCHOR: parent
    fn parent() -> Result<()> {
        let mut worker = Command::new(env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        let early = wait_timeout(&mut worker, Duration::from_millis(100))?;
        println!("after 100 ms: {early:?}");

        drop(worker.stdin.take());
        match wait_timeout(&mut worker, Duration::from_secs(10))? {
            Some(status) => println!("then: {status}"),
            None => bail!("the worker does not end"),
        }
        Ok(())
    }
    // ANCHOR_END: parent

    fn worker() -> Result<()> {
        io::copy(&mut io::stdin(), &mut io::sink())
            .context("cannot read standard input")?;
        Ok(())
    }
}
// ANCHOR_END: all
