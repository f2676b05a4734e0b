// ANCHOR: all
//! Proves that a futex tells nobody of the death of another process.

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
    use std::io::{self, PipeReader};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{env, fs, thread};

    use anyhow::{Context, Result, bail, ensure};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, Pid, fork};
    use rustix::thread::futex;

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
        let word = share(AtomicU32::new(0))?;
        let sleeper = fork_sleeper(word)?;
        let other = fork_sleeper(word)?;
        other.falls_asleep()?;
        let asleep = sleeper.falls_asleep()?;
        drop(other); // kills and reaps it
        // Who is woken runs at once, and ends.
        assert_eq!(sleeper.falls_asleep()?, asleep);

        word.store(1, Ordering::Release);
        assert_eq!(futex::wake(word, futex::Flags::empty(), 1)?, 1);
        sleeper.ends()?;
        println!("the death woke nobody, the wake did");
        Ok(())
    }
    // ANCHOR_END: proof

    fn share<T: Sync>(value: T) -> Result<&'static T> {
        let length = size_of::<T>().try_into()?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let memory = unsafe {
            mmap_anonymous(None, length, access, MapFlags::MAP_SHARED)
        }
        .context("cannot map shared memory")?
        .cast::<T>();
        // SAFETY: the mapping is large enough, starts at a page's border, and
        // is never removed.
        unsafe {
            memory.write(value);
            Ok(memory.as_ref())
        }
    }

    /// A forked child that is killed and reaped at the end.
    struct Sleeper {
        pid: Pid,
        output: PipeReader,
    }

    fn fork_sleeper(word: &AtomicU32) -> Result<Sleeper> {
        let (output, writer) = io::pipe()?;
        // SAFETY: this process has one thread, so no lock is held by another.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Sleeper { pid: child, output }),
            ForkResult::Child => {
                drop(output);
                let _ = futex::wait(word, futex::Flags::empty(), 0, None);
                drop(writer);
                // SAFETY: ends this process without the parent's code.
                unsafe { libc::_exit(0) }
            }
        }
    }

    impl Sleeper {
        /// The child sleeps nowhere but on the futex. Returns how often it
        /// has fallen asleep.
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

        /// A sleeper that wakes ends, and its end of the pipe goes with it.
        fn ends(mut self) -> Result<()> {
            let rest = io::copy(&mut self.output, &mut io::sink())?;
            ensure!(rest == 0, "it said something");
            Ok(())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
// ANCHOR_END: all
