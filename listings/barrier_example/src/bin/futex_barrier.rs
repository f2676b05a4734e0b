// ANCHOR: all
//! A barrier in shared memory: four processes meet, and one is then killed.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("a futex is a thing of Linux: use a coordinator elsewhere")
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsString;
    use std::io::{self, Write};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::process::parent_id;
    use std::process::{Command, ExitStatus, Stdio};
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
    use std::thread::ScopedJoinHandle;
    use std::time::{Duration, Instant};
    use std::{env, mem, process, thread};

    use anyhow::{Context, Result, anyhow, bail, ensure};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::{Signal, raise};
    use nix::sys::stat::fstat;
    use nix::unistd::ftruncate;
    use rustix::io::Errno;
    use rustix::thread::futex;

    const PARTIES: u32 = 4;
    const ROUNDS: u32 = 1000;

    pub fn main() -> Result<()> {
        let mut args = env::args_os().skip(1);
        match args.next() {
            None => parent(),
            Some(role) if role == "party" => party(args.next(), u32::MAX),
            Some(role) if role == "short-lived" => party(args.next(), ROUNDS),
            Some(role) => bail!(
                "unknown role {role:?}: expected \"party\" or \"short-lived\""
            ),
        }
    }

    // ANCHOR: barrier
    const BROKEN: u32 = 1;
    const ACTING: u32 = 2;
    const ROUND: u32 = 4;

    #[repr(C)]
    struct Shared {
        /// How many have arrived in this round.
        arrived: AtomicU32,
        /// The complete rounds in steps of `ROUND`, and the two marks.
        phase: AtomicU32,
        /// What the processes work on, to see that the barrier holds.
        work: AtomicU32,
    }

    impl Shared {
        /// True once all have arrived, false if the barrier is broken.
        fn wait(&self, patience: Duration, action: impl FnOnce()) -> bool {
            // Further away than any clock shows: no deadline.
            let deadline = Instant::now().checked_add(patience);
            let open = self.phase.load(Acquire);
            if open & BROKEN != 0 {
                return false;
            }
            let last = self.arrived.fetch_add(1, AcqRel) + 1 == PARTIES;
            // Fails if the round was broken meanwhile: then no action runs.
            if last && self.change(open, open | ACTING) {
                self.arrived.store(0, Relaxed);
                let unfinished = BreakOnDrop(self);
                action();
                mem::forget(unfinished);
                self.settle(open | ACTING, open.wrapping_add(ROUND));
            }
            // The others may arrive in a moment: that saves falling asleep.
            thread::yield_now();
            loop {
                let phase = self.phase.load(Acquire);
                if phase & !(ACTING | BROKEN) != open {
                    return true;
                }
                if phase & BROKEN != 0 {
                    return false;
                }
                // No deadline cuts the action short.
                let limit = if phase == open { deadline } else { None };
                if !self.sleep(phase, limit) {
                    self.settle(open, open | BROKEN);
                }
            }
        }
    }
    // ANCHOR_END: barrier

    // ANCHOR: settle
    impl Shared {
        /// Writes `to` if the phase is still `from`. True if it was.
        fn change(&self, from: u32, to: u32) -> bool {
            self.phase
                .compare_exchange(from, to, AcqRel, Acquire)
                .is_ok()
        }

        /// Ends a round, complete or broken; the first to do so wins.
        fn settle(&self, from: u32, to: u32) {
            if self.change(from, to) {
                self.wake();
            }
        }

        fn break_for_all(&self) {
            self.phase.fetch_or(BROKEN, Release);
            self.wake();
        }
    }

    /// An action that panics breaks the barrier.
    struct BreakOnDrop<'a>(&'a Shared);

    impl Drop for BreakOnDrop<'_> {
        fn drop(&mut self) {
            self.0.break_for_all();
        }
    }
    // ANCHOR_END: settle

    // ANCHOR: futex
    impl Shared {
        /// Sleeps while the phase is this one. False at the deadline.
        fn sleep(&self, phase: u32, deadline: Option<Instant>) -> bool {
            let left = deadline
                .map(|it| it.saturating_duration_since(Instant::now()))
                .map(futex::Timespec::try_from);
            let Ok(left) = left.transpose() else {
                return false;
            };
            let shared = futex::Flags::empty();
            // Anything but the deadline makes the caller look again.
            futex::wait(&self.phase, shared, phase, left.as_ref())
                != Err(Errno::TIMEDOUT)
        }

        fn wake(&self) {
            let shared = futex::Flags::empty();
            // It can only fail for an address that is not mapped.
            let _ = futex::wake(&self.phase, shared, i32::MAX as u32);
        }
    }
    // ANCHOR_END: futex

    // ANCHOR: party
    fn party(parent: Option<OsString>, rounds: u32) -> Result<()> {
        // The parent's death must not leave this process asleep for ever.
        set_pdeathsig(Signal::SIGKILL)?;
        let parent = parent.context("missing the parent's pid")?;
        let here = parent == *parent_id().to_string();
        ensure!(here, "the parent is gone");
        let shared = map(io::stdin())?;
        for round in 1..=rounds {
            shared.work.fetch_add(1, Relaxed);
            if !shared.wait(Duration::from_secs(10), || {}) {
                writeln!(io::stdout(), "broken after round {}", round - 1)?;
                process::exit(2);
            }
            // Until this party arrives again, the others can be at most one
            // step ahead.
            let work = shared.work.load(Relaxed);
            let expected = PARTIES * round..PARTIES * (round + 1);
            ensure!(expected.contains(&work), "round {round}: work is {work}");
        }
        raise(Signal::SIGKILL).context("cannot kill this process")
    }
    // ANCHOR_END: party

    fn parent() -> Result<()> {
        let memory = new_memory()?;
        let shared = map(&memory)?;
        let ends = thread::scope(|scope| {
            let mut watchers = Vec::new();
            for role in ["party", "party", "party", "short-lived"] {
                let watcher = memory.try_clone().and_then(|memory| {
                    let watch = move || watch(role, memory, shared);
                    thread::Builder::new().spawn_scoped(scope, watch)
                });
                if watcher.is_err() {
                    // Those that wait already would wait for ever.
                    shared.break_for_all();
                }
                watchers.push(watcher);
            }
            let end = |watcher: io::Result<ScopedJoinHandle<_>>| {
                let watcher = watcher.context("cannot start a watcher")?;
                watcher.join().map_err(|_| anyhow!("a watcher panicked"))?
            };
            watchers.into_iter().map(end).collect::<Vec<_>>()
        });
        for end in ends {
            writeln!(io::stdout(), "{}", end?)?;
        }
        Ok(())
    }

    // ANCHOR: watch
    /// Runs a party and breaks the barrier when it ends, however it ends.
    fn watch(
        role: &str,
        memory: OwnedFd,
        shared: &Shared,
    ) -> Result<ExitStatus> {
        let end = run(role, memory);
        shared.break_for_all();
        end
    }

    fn run(role: &str, memory: OwnedFd) -> Result<ExitStatus> {
        let mut party = Command::new(env::current_exe()?)
            .args([role, &process::id().to_string()])
            .stdin(Stdio::from(memory))
            .spawn()
            .context("cannot start a party")?;
        party.wait().context("cannot wait for a party")
    }
    // ANCHOR_END: watch

    // ANCHOR: map
    fn new_memory() -> Result<OwnedFd> {
        let sealable = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = memfd_create("barrier", sealable)?;
        ftruncate(&memory, size_of::<Shared>().try_into()?)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(memory)
    }

    fn map(memory: impl AsFd) -> Result<&'static Shared> {
        let seals = fcntl(&memory, FcntlArg::F_GET_SEALS)
            .context("this is no shared memory")?;
        let length: usize = fstat(&memory)?.st_size.try_into()?;
        // A file that shrinks under a mapping is the reader's death.
        let stays = SealFlag::from_bits_truncate(seals)
            .contains(SealFlag::F_SEAL_SHRINK);
        ensure!(
            stays && length == size_of::<Shared>(),
            "expected {} bytes that stay, found {length}",
            size_of::<Shared>()
        );
        let length = length.try_into()?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address = unsafe {
            mmap(None, length, access, MapFlags::MAP_SHARED, memory, 0)
        }
        .context("cannot map the shared memory")?;
        // SAFETY: the mapping is never removed, is large enough and stays so,
        // starts at a page's border, and any bytes are valid atomics.
        Ok(unsafe { address.cast::<Shared>().as_ref() })
    }
    // ANCHOR_END: map
}
// ANCHOR_END: all
