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
    use std::io::{self, BufRead, BufReader, Write};
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
    struct Slots {
        start: NonNull<u8>,
        /// Which slots are this process's own, for now.
        ours: [bool; SLOTS],
    }

    impl Slots {
        fn make() -> Result<File> {
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            let memory = File::from(memfd_create("slots", flags)?);
            memory.set_len((SLOTS * MESSAGE) as u64)?;
            fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
            Ok(memory)
        }

        /// # Safety
        /// Whoever else maps this memory keeps to the protocol: it touches a
        /// slot only from receiving its number until sending it on.
        unsafe fn map(memory: &File) -> Result<Slots> {
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
            let (start, ours) = (start.cast(), [false; SLOTS]);
            Ok(Slots { start, ours })
        }

        /// Receives the number of a slot, which is this process's own then.
        fn receive(&mut self, socket: impl BufRead) -> Result<Option<u8>> {
            let Some(number) = socket.bytes().next().transpose()? else {
                return Ok(None);
            };
            let ours = self.ours.get_mut(usize::from(number));
            let ours = ours.context("expected the number of a slot")?;
            ensure!(!*ours, "slot {number} was handed over twice");
            *ours = true;
            Ok(Some(number))
        }

        /// Sends the number of a slot on: from here on it is the other's.
        fn hand_over(
            &mut self,
            number: u8,
            mut socket: impl Write,
        ) -> Result<()> {
            self.ours[usize::from(number)] = false;
            socket.write_all(&[number])?;
            Ok(())
        }

        fn get(&mut self, number: u8) -> &mut [u8] {
            let number = usize::from(number);
            assert!(self.ours[number], "the slot is the other process's");
            // SAFETY: the slot lies in the mapping, which is never unmapped.
            // It is ours, so the other process does not touch it, as was
            // promised to `map`, nor does this one, which has borrowed it.
            unsafe {
                let start = self.start.add(number * MESSAGE);
                slice::from_raw_parts_mut(start.as_ptr(), MESSAGE)
            }
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
            let number = slots.receive(&mut free)?;
            let number = number.context("the receiver is gone")?;
            fill(slots.get(number));
            slots.hand_over(number, socket).context("cannot send")?;
        }
        socket.shutdown(Shutdown::Write)?;
        while slots.receive(&mut free)?.is_some() {}
        ensure!(slots.ours == [true; SLOTS], "not every slot came back");
        Ok(())
    }

    fn receive(
        slots: &mut Slots,
        socket: &UnixStream,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // To begin with, all the slots are free.
        for number in 0..SLOTS as u8 {
            slots.hand_over(number, socket).context("not a socket")?;
        }
        let mut numbers = BufReader::new(socket);
        while let Some(number) = slots.receive(&mut numbers)? {
            take(slots.get(number))?;
            slots.hand_over(number, socket).context("cannot answer")?;
        }
        Ok(())
    }
    // ANCHOR_END: hand_over

    // ANCHOR: roles
    fn parent() -> Result<()> {
        let memory = Slots::make()?;
        // SAFETY: the memory goes to the child alone, which runs `receive`.
        let mut slots = unsafe { Slots::map(&memory) }?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = start("child", memory, theirs)?;

        let mut brightness = 0;
        let sent = send(&mut slots, &ours, 6, |picture| {
            brightness += 1;
            picture.fill(brightness);
        });
        drop(ours);
        let status = child.wait().context("cannot wait for the child")?;
        sent.with_context(|| format!("child: {status}"))?;
        ensure!(status.success(), "the child failed: {status}");
        Ok(())
    }

    fn child() -> Result<()> {
        let memory = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        // SAFETY: the parent has the memory for itself, and runs `send`.
        let slots = unsafe { Slots::map(&memory) };
        let mut slots = slots.context("not our memory")?;
        let socket = io::stdout().as_fd().try_clone_to_owned()?;
        receive(&mut slots, &UnixStream::from(socket), |picture| {
            let sum: u64 = picture.iter().map(|&byte| u64::from(byte)).sum();
            writeln!(io::stderr(), "{} bytes, sum {sum}", picture.len())?;
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
