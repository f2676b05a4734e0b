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
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{env, fs};

    use anyhow::{Context, Result, bail};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
        sleeper.wait_until_asleep()?;
        drop(other); // kills and reaps it
        assert!(!sleeper.wakes_within(100u8.into())?);

        word.store(1, Ordering::Release);
        futex::wake(word, futex::Flags::empty(), 1)?;
        assert!(sleeper.wakes_within(PollTimeout::NONE)?);
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
        /// The child sleeps nowhere but in the futex.
        fn wait_until_asleep(&self) -> Result<()> {
            let file = format!("/proc/{}/stat", self.pid);
            while !fs::read_to_string(&file)?.contains(") S ") {
                if self.wakes_within(1u8.into())? {
                    bail!("the child has ended instead of sleeping");
                }
            }
            Ok(())
        }

        /// A sleeper that wakes ends, and its end of the pipe goes with it.
        fn wakes_within(&self, timeout: PollTimeout) -> Result<bool> {
            let mut end =
                [PollFd::new(self.output.as_fd(), PollFlags::empty())];
            Ok(poll(&mut end, timeout)? > 0)
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
