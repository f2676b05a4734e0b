// ANCHOR: all
//! Proves that fork copies a `std::sync::Barrier`: nobody meets anybody.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("this proof reads /proc, which is a thing of Linux")
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, PipeReader, PipeWriter, Read, Write};
    use std::sync::Barrier;
    use std::{env, fs, thread};

    use anyhow::{Context, Result, bail, ensure};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, Pid, fork};

    pub fn main() -> Result<()> {
        match env::args().nth(1) {
            None => parent(),
            Some(arg) => {
                bail!("unknown argument {arg:?}: this program takes none")
            }
        }
    }

    // ANCHOR: proof
    fn parent() -> Result<()> {
        let barrier = Barrier::new(2);
        let mut one = fork_party(&barrier)?;
        let mut other = fork_party(&barrier)?;
        one.says(b"a")?;
        other.says(b"a")?;
        let asleep = (one.falls_asleep()?, other.falls_asleep()?);
        // Both have arrived, and neither has stirred since it fell asleep.
        assert_eq!(asleep, (one.falls_asleep()?, other.falls_asleep()?));
        println!("two parties have arrived at a barrier for two, both sleep");
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
                // SAFETY: ends this process without the parent's code.
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
        fn says(&mut self, expected: &[u8; 1]) -> Result<()> {
            let mut word = [0];
            self.output.read_exact(&mut word).context("it has ended")?;
            ensure!(word == *expected, "it said {word:?}");
            Ok(())
        }

        // ANCHOR: falls_asleep
        /// After its word it sleeps nowhere but at the barrier. Returns how
        /// often it has fallen asleep.
        fn falls_asleep(&self) -> Result<u64> {
            loop {
                let file = format!("/proc/{}/status", self.pid);
                let status = fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {file}"))?;
                let field = |name| {
                    let line = status.lines().find_map(|line| {
                        line.strip_prefix(name)?.strip_prefix(':')
                    });
                    line.map(str::trim).context("not in /proc/PID/status")
                };
                match field("State")?.chars().next() {
                    Some('S') => {
                        let times = field("voluntary_ctxt_switches")?;
                        return times.parse().context("not a number");
                    }
                    Some('Z') => bail!("it has ended instead of sleeping"),
                    _ => thread::yield_now(),
                }
            }
        }
        // ANCHOR_END: falls_asleep
    }

    impl Drop for Party {
        fn drop(&mut self) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
// ANCHOR_END: all
