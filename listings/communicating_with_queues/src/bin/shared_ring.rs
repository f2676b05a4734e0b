// ANCHOR: all
//! Passes messages through a ring of slots in shared memory (Linux).

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("this program needs Linux's memfd and futex")
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::num::NonZeroUsize;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, ExitStatus};
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
    use std::sync::atomic::{AtomicU32, AtomicU64, fence};
    use std::{env, io, thread};

    use anyhow::{Context, Result, anyhow, bail, ensure};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    use nix::sys::prctl;
    use nix::sys::signal::{Signal, raise};
    use nix::unistd::getppid;
    use rustix::io::Errno;
    use rustix::thread::futex;

    const SLOTS: usize = 64;
    // With one slot, `p + 1` would mean both full and free.
    const _: () = assert!(SLOTS > 1);
    const PER_PRODUCER: u64 = 5_000;
    const SPINS: u32 = 20;

    // ANCHOR: layout
    /// What all the processes share. Every field is an atomic: when a process
    /// of this program goes wrong, the others may read nonsense, but no access
    /// is undefined behavior.
    #[repr(C)]
    struct Ring {
        tail: Padded<AtomicU64>,
        head: Padded<AtomicU64>,
        filled: Padded<Event>,
        emptied: Padded<Event>,
        parent: AtomicU32,
        producers: AtomicU32,
        broken: AtomicU32,
        slots: [Slot; SLOTS],
        received: [AtomicU32; 2 * PER_PRODUCER as usize],
    }

    /// `turn` says whose the slot is: position `p` of a producer finds `p`
    /// there and leaves `p + 1`, the consumer then leaves `p + SLOTS`.
    #[repr(C)]
    struct Slot {
        turn: AtomicU64,
        message: AtomicU64,
    }

    /// Keeps two busy counters out of one cache line.
    #[repr(C, align(64))]
    struct Padded<T>(T);
    // ANCHOR_END: layout

    // ANCHOR: event
    /// Something to sleep on until another process has changed the ring.
    #[repr(C)]
    struct Event {
        count: AtomicU32,
        sleepers: AtomicU32,
    }

    impl Event {
        fn announce(&self) {
            // Pairs with the fence in `wait`: one of the two sides sees what
            // the other has written before its own fence.
            fence(SeqCst);
            if self.sleepers.load(SeqCst) > 0 {
                self.wake_all();
            }
        }

        fn wake_all(&self) {
            self.count.fetch_add(1, SeqCst);
            let everybody = i32::MAX as u32;
            let _ = futex::wake(&self.count, SHARED, everybody);
        }

        /// Sleeps until `attempt` returns a value, looking at each event.
        fn wait<T>(&self, attempt: impl Fn() -> Option<T>) -> Result<T> {
            // Mostly the others need no more than a turn on the processor, and
            // giving way to them is cheaper than sleeping and being woken.
            for _ in 0..SPINS {
                if let Some(value) = attempt() {
                    return Ok(value);
                }
                thread::yield_now();
            }
            self.sleepers.fetch_add(1, SeqCst);
            let result = loop {
                let count = self.count.load(SeqCst);
                fence(SeqCst);
                if let Some(value) = attempt() {
                    break Ok(value);
                }
                // Returns at once if the count is no longer the one above.
                match futex::wait(&self.count, SHARED, count, None) {
                    Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(error) => break Err(error.into()),
                }
            };
            self.sleepers.fetch_sub(1, SeqCst);
            result
        }
    }

    // Without PRIVATE: the sleeper and the waker are different processes.
    const SHARED: futex::Flags = futex::Flags::empty();
    // ANCHOR_END: event

    // ANCHOR: ring
    impl Ring {
        fn try_push(&self, message: u64) -> bool {
            loop {
                let tail = self.tail.0.load(Relaxed);
                let slot = &self.slots[tail as usize % SLOTS];
                let turn = slot.turn.load(Acquire);
                if turn < tail {
                    return false; // full: last round's message is still there
                }
                if turn == tail && claim(&self.tail.0, tail) {
                    slot.message.store(message, Relaxed);
                    slot.turn.store(tail + 1, Release);
                    return true;
                }
            }
        }

        fn try_pop(&self) -> Option<u64> {
            loop {
                let head = self.head.0.load(Relaxed);
                let slot = &self.slots[head as usize % SLOTS];
                let turn = slot.turn.load(Acquire);
                if turn <= head {
                    return None; // empty, or the message is being written
                }
                if turn == head + 1 && claim(&self.head.0, head) {
                    let message = slot.message.load(Relaxed);
                    slot.turn.store(head + SLOTS as u64, Release);
                    return Some(message);
                }
            }
        }
    }

    fn claim(counter: &AtomicU64, position: u64) -> bool {
        let next = position + 1;
        counter
            .compare_exchange(position, next, Relaxed, Relaxed)
            .is_ok()
    }
    // ANCHOR_END: ring

    // ANCHOR: blocking
    impl Ring {
        fn push(&self, message: u64) -> Result<()> {
            self.emptied.0.wait(|| match self.broken.load(Acquire) {
                0 => self.try_push(message).then_some(Ok(())),
                _ => Some(Err(anyhow!("another process of the ring has died"))),
            })??;
            self.filled.0.announce();
            Ok(())
        }

        /// The next message, or `None` when the producers are done.
        fn pop(&self) -> Result<Option<u64>> {
            let message = self.filled.0.wait(|| {
                // Asked first: what the last producer sent before it left is
                // then in the ring for the look that follows.
                let done = self.producers.load(Acquire) == 0;
                match self.try_pop() {
                    Some(message) => Some(Ok(Some(message))),
                    None if self.broken.load(Acquire) != 0 => {
                        Some(Err(anyhow!("a process of the ring has died")))
                    }
                    None => done.then_some(Ok(None)),
                }
            })??;
            self.emptied.0.announce();
            Ok(message)
        }

        fn leave(&self) {
            self.producers.fetch_sub(1, Release);
            self.filled.0.wake_all();
        }

        fn give_up(&self) {
            self.broken.store(1, Release);
            self.filled.0.wake_all();
            self.emptied.0.wake_all();
        }
    }
    // ANCHOR_END: blocking

    // ANCHOR: map
    fn map(memory: &File) -> Result<&'static Ring> {
        let length = NonZeroUsize::new(size_of::<Ring>()).context("empty")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses takes
        // the place of nothing.
        let address = unsafe {
            mmap(None, length, access, MapFlags::MAP_SHARED, memory, 0)
        }?;
        // A file that could shrink would take the pages away from under us.
        let seals = fcntl(memory, FcntlArg::F_GET_SEALS)?;
        let seals = SealFlag::from_bits_truncate(seals);
        ensure!(
            seals.contains(SealFlag::F_SEAL_SHRINK),
            "the file can shrink"
        );
        ensure!(
            memory.metadata()?.len() == length.get() as u64,
            "expected a file of {length} bytes"
        );
        // SAFETY: the mapping starts at a page, is as long as a Ring, cannot
        // lose its pages, as checked above, and is never unmapped. Every bit
        // pattern is a valid Ring, since it consists of atomics, and all the
        // processes change it through atomics only.
        Ok(unsafe { address.cast::<Ring>().as_ref() })
    }
    // ANCHOR_END: map

    pub fn main() -> Result<()> {
        match env::args().nth(1).as_deref() {
            None => parent(),
            Some("producer") => producer(),
            Some("consumer") => consumer(),
            Some("victim") => victim(),
            Some(role) => bail!(
                "unknown role {role:?}: \
                 expected \"producer\", \"consumer\" or \"victim\""
            ),
        }
    }

    fn parent() -> Result<()> {
        let (memory, ring) = new_ring(2)?;
        let roles: [&[_]; 5] = [
            &["consumer"],
            &["consumer"],
            &["consumer"],
            &["producer", "0"],
            &["producer", "1"],
        ];
        let ended = run(&memory, ring, &roles)?;
        ensure!(ended.iter().all(ExitStatus::success), "a child failed");
        let once = |count: &AtomicU32| count.load(Relaxed) == 1;
        assert!(ring.received.iter().all(once), "lost, or received twice");
        println!("{} messages, each received once", ring.received.len());

        let (memory, ring) = new_ring(1)?;
        let roles: [&[_]; 2] = [&["victim"], &["producer", "0"]];
        let ended = run(&memory, ring, &roles)?;
        println!("victim: {}, producer: {}", ended[0], ended[1]);
        Ok(())
    }

    fn run(
        memory: &File,
        ring: &Ring,
        roles: &[&[&str]],
    ) -> Result<Vec<ExitStatus>> {
        let mut children = Vec::new();
        for arguments in roles {
            match start(arguments, memory) {
                Ok(child) => children.push(child),
                Err(error) => {
                    // The others end when they hear of it.
                    ring.give_up();
                    children.iter_mut().for_each(|it| drop(it.wait()));
                    return Err(error);
                }
            }
        }
        thread::scope(|scope| {
            // ANCHOR: watch
            let watch = |mut child: Child| {
                let status = child.wait();
                if !status.as_ref().is_ok_and(ExitStatus::success) {
                    ring.give_up();
                }
                status
            };
            // ANCHOR_END: watch
            let threads: Vec<_> = children
                .into_iter()
                .map(|child| scope.spawn(move || watch(child)))
                .collect();
            let join = |thread: thread::ScopedJoinHandle<io::Result<_>>| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a thread panicked"))?
                    .context("cannot wait for a child")
            };
            threads.into_iter().map(join).collect()
        })
    }

    // ANCHOR: new_ring
    fn new_ring(producers: u32) -> Result<(File, &'static Ring)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = File::from(memfd_create("ring", flags)?);
        memory.set_len(size_of::<Ring>() as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;

        // New memory is zero. Only what must not be zero is set.
        let ring = map(&memory)?;
        ring.parent.store(std::process::id(), Relaxed);
        ring.producers.store(producers, Relaxed);
        for (position, slot) in (0..).zip(&ring.slots) {
            slot.turn.store(position, Relaxed);
        }
        Ok((memory, ring))
    }
    // ANCHOR_END: new_ring

    fn start(arguments: &[&str], memory: &File) -> Result<Child> {
        Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(memory.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start a {}", arguments[0]))
    }

    // ANCHOR: roles
    fn attach() -> Result<&'static Ring> {
        // If the parent dies, nobody wakes the sleepers: be killed then.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        let memory = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let ring = map(&memory).context("standard input is not a ring")?;
        // It may have died before that, and the child has another parent.
        let parent = u32::try_from(getppid().as_raw())?;
        ensure!(parent == ring.parent.load(Relaxed), "the parent is gone");
        Ok(ring)
    }

    fn producer() -> Result<()> {
        let number = env::args().nth(2).context("a producer needs a number")?;
        let first = PER_PRODUCER * number.parse::<u64>()?;
        let ring = attach()?;
        for message in first..first + PER_PRODUCER {
            ring.push(message)?;
        }
        ring.leave();
        Ok(())
    }

    fn consumer() -> Result<()> {
        let ring = attach()?;
        while let Some(message) = ring.pop()? {
            let count = ring.received.get(message as usize);
            count.context("not a message")?.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Takes a message and is killed.
    fn victim() -> Result<()> {
        attach()?.pop()?;
        Ok(raise(Signal::SIGKILL)?)
    }
    // ANCHOR_END: roles
}
// ANCHOR_END: all
