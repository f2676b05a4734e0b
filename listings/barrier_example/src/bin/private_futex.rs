// ANCHOR: all
//! Proves that a private wake does not cross from one process to another.

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
    use std::sync::atomic::AtomicU32;
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
        let private = futex::Flags::PRIVATE;
        let shared = futex::Flags::empty();
        assert_eq!(sleepers_woken(private)?, 0);
        assert_eq!(sleepers_woken(shared)?, 1);
        println!("private: 0 processes woken, shared: 1");
        Ok(())
    }

    fn sleepers_woken(flags: futex::Flags) -> Result<usize> {
        let word = share(AtomicU32::new(0))?;
        let child = fork_sleeper(word, flags)?;
        child.wait_until_asleep()?;
        futex::wake(word, flags, 1).context("cannot wake")
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

    fn fork_sleeper(word: &AtomicU32, flags: futex::Flags) -> Result<Sleeper> {
        let (output, writer) = io::pipe()?;
        // SAFETY: this process has one thread, so no lock is held by another.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Sleeper { pid: child, output }),
            ForkResult::Child => {
                drop(output);
                let _ = futex::wait(word, flags, 0, None);
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
            let stat = || {
                fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {file}"))
            };
            while !stat()?.contains(") S ") {
                let mut end =
                    [PollFd::new(self.output.as_fd(), PollFlags::empty())];
                if poll(&mut end, PollTimeout::from(1u8))? > 0 {
                    bail!("the child has ended instead of sleeping");
                }
            }
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
