// ANCHOR: all
//! Hands large messages over in shared memory, without copying them (Linux).

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("this program needs Linux's memfd")
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, BufReader, Read, Write};
    use std::net::Shutdown;
    use std::num::NonZeroUsize;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command};
    use std::ptr::NonNull;
    use std::{env, slice};

    use anyhow::{Context, Result, bail, ensure};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("child") => child(),
            Some(role) => bail!("unknown role {role:?}: expected \"child\""),
        }
    }

    // ANCHOR: slots
    const SLOTS: usize = 4;
    const MESSAGE: usize = 1024 * 1024;

    /// Room for a few messages that two processes share.
    struct Slots(NonNull<u8>);

    impl Slots {
        fn make() -> Result<File> {
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            let memory = File::from(memfd_create("slots", flags)?);
            memory.set_len((SLOTS * MESSAGE) as u64)?;
            fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
            Ok(memory)
        }

        fn map(memory: &File) -> Result<Slots> {
            // Beyond the end of the file there is no memory to touch.
            let seals = fcntl(memory, FcntlArg::F_GET_SEALS)?;
            let seals = SealFlag::from_bits_truncate(seals);
            let size = SLOTS * MESSAGE;
            ensure!(
                seals.contains(SealFlag::F_SEAL_SHRINK)
                    && memory.metadata()?.len() >= size as u64,
                "expected {size} bytes that stay"
            );
            let length = NonZeroUsize::new(size).context("no slots")?;
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            // SAFETY: a new mapping at an address that the kernel chooses
            // takes the place of nothing.
            let start = unsafe {
                mmap(None, length, access, MapFlags::MAP_SHARED, memory, 0)
            }?;
            Ok(Slots(start.cast()))
        }

        /// The slot that the other process has handed over.
        ///
        /// # Safety
        /// Call it only with a number that was received and not yet sent on:
        /// until then the other process does not touch the slot.
        unsafe fn get(&mut self, number: u8) -> Result<&mut [u8]> {
            let number = usize::from(number);
            ensure!(number < SLOTS, "expected one of {SLOTS} slots");
            // SAFETY: the slot lies in the mapping, which is never unmapped,
            // and as the caller promises it is this process's own for now.
            Ok(unsafe {
                let start = self.0.add(number * MESSAGE);
                slice::from_raw_parts_mut(start.as_ptr(), MESSAGE)
            })
        }
    }
    // ANCHOR_END: slots

    // ANCHOR: hand_over
    /// Fills `count` slots, each as soon as the other process hands it over.
    fn send(
        slots: &mut Slots,
        socket: &UnixStream,
        count: usize,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Result<()> {
        let mut free = BufReader::new(socket);
        for _ in 0..count {
            let mut number = [0];
            free.read_exact(&mut number)
                .context("the receiver is gone")?;
            // SAFETY: the number was received, and is sent on below.
            fill(unsafe { slots.get(number[0]) }?);
            (&*socket).write_all(&number).context("cannot send")?;
        }
        socket.shutdown(Shutdown::Write)?;
        let mut returned = Vec::new();
        free.read_to_end(&mut returned)?;
        ensure!(returned.len() == SLOTS, "the receiver died before the end");
        Ok(())
    }

    fn receive(
        slots: &mut Slots,
        socket: &UnixStream,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // To begin with, all the slots are free.
        for number in 0..SLOTS as u8 {
            (&*socket).write_all(&[number]).context("not a socket")?;
        }
        for number in BufReader::new(socket).bytes() {
            let number = number?;
            // SAFETY: the number was received, and is sent on below.
            take(unsafe { slots.get(number) }?)?;
            (&*socket).write_all(&[number]).context("cannot answer")?;
        }
        Ok(())
    }
    // ANCHOR_END: hand_over

    // ANCHOR: roles
    fn parent() -> Result<()> {
        let memory = Slots::make()?;
        let mut slots = Slots::map(&memory)?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = start("child", memory, theirs)?;

        let mut brightness = 0;
        let sent = send(&mut slots, &ours, 6, |picture| {
            brightness += 1;
            picture.fill(brightness);
        });
        drop(ours);
        let status = child.wait()?;
        sent?;
        ensure!(status.success(), "the child failed");
        Ok(())
    }

    fn child() -> Result<()> {
        let memory = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut slots = Slots::map(&memory).context("not our memory")?;
        let socket = io::stdout().as_fd().try_clone_to_owned()?;
        receive(&mut slots, &UnixStream::from(socket), |picture| {
            let sum: u64 = picture.iter().map(|&byte| u64::from(byte)).sum();
            eprintln!("{} bytes, sum {sum}", picture.len());
            Ok(())
        })
    }

    /// The child finds the memory and the socket in its standard streams.
    fn start(role: &str, memory: File, socket: UnixStream) -> Result<Child> {
        Command::new(env::current_exe()?)
            .arg(role)
            .stdin(memory)
            .stdout(OwnedFd::from(socket))
            .spawn()
            .context("cannot start the child")
    }
    // ANCHOR_END: roles
}
// ANCHOR_END: all
