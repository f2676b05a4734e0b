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
    use std::io::{self, PipeReader, Write};
    use std::os::fd::AsFd;
    use std::sync::Barrier;
    use std::{env, fs};

    use anyhow::{Context, Result, bail};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
        child.wait_until_asleep()?;
        let leader = barrier.wait().is_leader();
        assert!(leader, "the count is shared: this process came second");
        assert!(child.is_silent_for(100)?, "but the child was not woken");
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
        output: PipeReader,
    }

    fn fork_party(barrier: &Barrier) -> Result<Party> {
        let (output, mut writer) = io::pipe()?;
        // SAFETY: this process has one thread, so no lock is held by another.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Party { pid: child, output }),
            ForkResult::Child => {
                drop(output);
                barrier.wait();
                let _ = writer.write_all(b"g");
                // SAFETY: ends this process without the parent's code.
                unsafe { libc::_exit(0) }
            }
        }
    }

    impl Party {
        /// The child sleeps nowhere but in the barrier.
        fn wait_until_asleep(&self) -> Result<()> {
            let file = format!("/proc/{}/stat", self.pid);
            while !fs::read_to_string(&file)?.contains(") S ") {
                // Ends early if the child goes through alone.
                if !self.is_silent_for(1)? {
                    bail!("the child did not wait for this process");
                }
            }
            Ok(())
        }

        fn is_silent_for(&self, milliseconds: u16) -> Result<bool> {
            let mut ends =
                [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            Ok(poll(&mut ends, PollTimeout::from(milliseconds))? == 0)
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
