// ANCHOR: all
//! Proves that `std::sync::Barrier` wakes nobody in another process, even in
//! memory that both share.

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
    use std::sync::Barrier;
    use std::{env, fs, thread};

    use anyhow::{Context, Result, bail};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
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
        let barrier: &Barrier = share(Barrier::new(2))?;
        let child = fork_party(barrier)?;
        let asleep = child.falls_asleep()?;
        let leader = barrier.wait().is_leader();
        assert!(leader, "the count is shared: this process came second");
        // Who is woken runs at once, and has to fall asleep once more.
        assert_eq!(child.falls_asleep()?, asleep, "the child was not woken");
        println!("the parent went through the barrier, the child sleeps on");
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
    struct Party {
        pid: Pid,
    }

    fn fork_party(barrier: &Barrier) -> Result<Party> {
        // SAFETY: this process has one thread, so no lock is held by another.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Party { pid: child }),
            ForkResult::Child => {
                barrier.wait();
                // SAFETY: ends this process without the parent's code.
                unsafe { libc::_exit(0) }
            }
        }
    }

    impl Party {
        /// The child sleeps nowhere but at the barrier. Returns how often it
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
    }

    impl Drop for Party {
        fn drop(&mut self) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
// ANCHOR_END: all
