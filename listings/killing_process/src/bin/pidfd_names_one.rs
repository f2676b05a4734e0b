// ANCHOR: all
//! Proves that a pidfd does not reach another process with the same number.

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
    use std::io::{self, BufRead, BufReader, ErrorKind, Write};
    use std::os::fd::AsFd;
    use std::process::{self, Child, ChildStdout, Command, Stdio};
    use std::{env, fs};

    use anyhow::{Context, Result, bail, ensure};
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{self, SigHandler, SigSet};
    use rustix::process::{Pid, PidfdFlags, Signal};
    use rustix::process::{pidfd_open, pidfd_send_signal, test_kill_process};

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("first") => first(),
            Some("worker") => worker(),
            Some(role) => {
                bail!("unknown role {role:?}: expected \"first\" or \"worker\"")
            }
        }
    }

    // ANCHOR: proof
    fn proof() -> Result<()> {
        let mut worker = Worker::start()?;
        let number = worker.child.id();
        // Safe here: nobody has waited, so the number is still the worker's.
        let pid = Pid::from_child(&worker.child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;

        assert_eq!(pidfd_send_signal(&pidfd, Signal::TERM), Ok(()));
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
        println!("in time: {}", worker.child.wait()?);

        let mut stranger = Worker::start_as(number)?;
        assert_eq!(test_kill_process(pid), Ok(()));
        let late = pidfd_send_signal(&pidfd, Signal::TERM);
        println!("afterwards: {late:?}");
        assert_eq!(late, Err(rustix::io::Errno::SRCH));
        assert_eq!(stranger.answer_to("still there?\n")?, "still there?\n");
        println!("the stranger with the same number: answers");
        assert!(stranger.child.wait()?.success());
        Ok(())
    }
    // ANCHOR_END: proof

    struct Worker {
        child: Child,
        output: BufReader<ChildStdout>,
    }

    impl Worker {
        fn start() -> Result<Worker> {
            let mut child = Command::new(env::current_exe()?)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start the worker")?;
            let output = child.stdout.take().context("no pipe from it")?;
            let output = BufReader::new(output);
            let mut worker = Worker { child, output };
            assert_eq!(worker.answer_to("here?\n")?, "here?\n");
            Ok(worker)
        }

        /// Sees to it that the worker gets a number that was in use.
        fn start_as(number: u32) -> Result<Worker> {
            fs::write(NEXT_NUMBER, (number - 1).to_string())?;
            let worker = Worker::start()?;
            assert_eq!(worker.child.id(), number);
            Ok(worker)
        }

        fn answer_to(&mut self, line: &str) -> Result<String> {
            let input = self.child.stdin.as_mut().context("no pipe to it")?;
            // Fails if it is dead, and then there is no answer.
            let _ = input.write_all(line.as_bytes());
            let mut answer = String::new();
            self.output.read_line(&mut answer)?;
            Ok(answer)
        }
    }

    fn worker() -> Result<()> {
        // SAFETY: the default action runs no code of this program.
        unsafe { signal::signal(signal::SIGTERM, SigHandler::SigDfl) }?;
        SigSet::all().thread_unblock().context("cannot unblock")?;
        io::copy(&mut io::stdin(), &mut io::stdout())
            .context("cannot copy standard input")?;
        Ok(())
    }

    fn first() -> Result<()> {
        ensure!(process::id() == 1, "expected to be process 1");
        // What it says here does not matter: is it allowed to say anything?
        match fs::write(NEXT_NUMBER, "1") {
            Ok(()) => proof(),
            Err(refusal) => not_shown(&refusal),
        }
    }

    const NEXT_NUMBER: &str = "/proc/sys/kernel/ns_last_pid";

    /// Runs the proof as process 1 of a PID namespace, where it may choose the
    /// numbers of new processes.
    fn parent() -> Result<()> {
        if let Err(refusal) = enter_namespace()? {
            return not_shown(&refusal.into());
        }
        let status = Command::new(env::current_exe()?)
            .arg("first")
            .spawn()
            .context("cannot start process 1")?
            .wait()
            .context("cannot wait for process 1")?;
        ensure!(status.success(), "process 1 ended with {status}");
        Ok(())
    }

    /// Gives the next child of this process a PID namespace. The inner error says
    /// that the machine refuses it.
    fn enter_namespace() -> Result<nix::Result<()>> {
        use nix::sched::{CloneFlags, unshare};
        let user = nix::unistd::getuid();
        match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID) {
            Ok(()) => {}
            Err(refusal @ (Errno::EPERM | Errno::ENOSPC)) => {
                return Ok(Err(refusal));
            }
            Err(error) => return Err(error).context("cannot make a namespace"),
        }
        // Only its user 0 keeps the right to choose numbers when it runs a program.
        match fs::write("/proc/self/uid_map", format!("0 {user} 1")) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                Ok(Err(Errno::EPERM))
            }
            written => {
                Ok(Ok(written.context("cannot write /proc/self/uid_map")?))
            }
        }
    }

    /// A machine may refuse what the proof needs, unless it is there to prove it.
    fn not_shown(refusal: &io::Error) -> Result<()> {
        let ci = env::var_os("CI").is_some_and(|ci| ci == "true");
        ensure!(
            !ci,
            "this machine refuses to let numbers be chosen: {refusal}"
        );
        println!(
            "not shown, this machine lets nobody choose numbers: {refusal}"
        );
        Ok(())
    }
}
// ANCHOR_END: all
