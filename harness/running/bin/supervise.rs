//! Runs one program so that nothing of it can stay behind.
//!
//! `supervise REPORT DEADLINE_MS GRACE_MS DISTURBANCE PROGRAM [ARGUMENT…]`
//!
//! The program gets a process group of its own, and this process becomes its
//! subreaper: whatever the program orphans, however often it forks or changes
//! its session, is handed to this process by the kernel. When the program has
//! ended, every descendant that is left is named in the report, killed and
//! reaped. Standard input is a lifeline: at its end of file everything is
//! killed too.
//!
//! `GRACE_MS` is how long descendants may take to end by themselves after the
//! program: 0 for most listings, more for those whose subject is a process
//! that outlives them, and for Python, whose resource tracker ends shortly after
//! the interpreter.
//!
//! `DISTURBANCE` is JSON: nothing, one process to kill, or all to be stopped
//! and continued (see `running::supervise::Disturbance`).

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{self, SigHandler, SigSet, Signal};
use nix::sys::time::TimeValLike;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use running::descendants::{self, Descendant};
use running::supervise::{Disturbance, Killed, Report};

/// How long a sweep that kills everything waits before the next one: a
/// program that keeps forking can outrun a single sweep.
const NEXT_SWEEP: Duration = Duration::from_millis(10);

fn main() {
    if let Err(error) = supervise() {
        eprintln!("supervise: {error:#}");
        process::exit(2);
    }
}

fn supervise() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let mut next =
        |what| args.next().with_context(|| format!("{what} is missing"));
    let report_file = PathBuf::from(next("the report file")?);
    let deadline = milliseconds(next("the deadline")?)?;
    let mut grace = milliseconds(next("the grace")?)?;
    let disturbance = next("the disturbance")?;
    let disturbance: Option<Disturbance> =
        serde_json::from_str(&disturbance.to_string_lossy())?;
    let program = next("the program")?;

    heed_signals()?;
    descendants::adopt_orphans()?;
    let start = Instant::now();
    let child = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let child = Pid::from_raw(child.id().try_into()?);
    let watchdog = Watchdog::start(child, deadline);
    watch_lifeline(watchdog.limit.clone());
    let killed = Arc::new(Mutex::new(None));
    let stops = Arc::new(AtomicU64::new(0));
    match disturbance {
        None => {}
        Some(Disturbance::Kill { after, choice }) => {
            kill_one(child, after, choice, Arc::clone(&killed));
        }
        Some(Disturbance::Stutter { every }) => {
            stutter(every, Arc::clone(&stops));
        }
    }

    let (status, mut left) = descendants::wait_for(child)?;
    let took = start.elapsed();
    let outlived = left.iter().any(|process| process.state != 'Z');
    let killed = killed.lock().unwrap_or_else(PoisonError::into_inner);
    if killed.as_ref().is_some_and(|killed| !killed.program) {
        // The program lived, so it had to wait for its own.
        grace = Duration::ZERO;
    }
    let overdue = watchdog.fired.load(Ordering::SeqCst);
    watchdog.limit.send(grace)?;
    descendants::reap_all()?;
    if !grace.is_zero() {
        // Those that ended by themselves in the time they had are no fault.
        left = watchdog.killed();
    }
    let report = Report {
        code: match status {
            WaitStatus::Exited(_, code) => Some(code),
            _ => None,
        },
        signal: match status {
            WaitStatus::Signaled(_, signal, _) => {
                Some(signal.as_str().to_owned())
            }
            _ => None,
        },
        overdue,
        left: match overdue {
            true => Vec::new(),
            false => left.iter().map(ToString::to_string).collect(),
        },
        outlived,
        took,
        cpu: cpu_time()?,
        killed: killed.clone(),
        stops: stops.load(Ordering::SeqCst),
    };
    fs::write(report_file, serde_json::to_string(&report)?)
        .context("cannot write the report")
}

/// Of the program and its descendants, once they have been waited for.
fn cpu_time() -> Result<Duration> {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = [used.user_time(), used.system_time()]
        .map(|time| time.num_microseconds().unsigned_abs());
    Ok(Duration::from_micros(microseconds.iter().sum()))
}

/// What `nohup`, a shell's `&` or a profiler ignores or blocks would be ignored
/// or blocked in the program, too, and a proof about a signal would fail for a
/// reason that is not its own.
fn heed_signals() -> Result<()> {
    // std sees to SIGPIPE; the other two cannot be ignored.
    let others = [Signal::SIGPIPE, Signal::SIGKILL, Signal::SIGSTOP];
    for signal in Signal::iterator().filter(|it| !others.contains(it)) {
        // SAFETY: the default action runs no code of this process.
        unsafe { signal::signal(signal, SigHandler::SigDfl) }?;
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

fn milliseconds(arg: OsString) -> Result<Duration> {
    let number = arg.to_string_lossy().parse();
    let number = number.with_context(|| format!("{arg:?} is not a number"))?;
    Ok(Duration::from_millis(number))
}

/// Kills one process of the program's after a time, unless all have ended.
fn kill_one(
    program: Pid,
    after: Duration,
    choice: u64,
    killed: Arc<Mutex<Option<Killed>>>,
) {
    thread::spawn(move || {
        thread::sleep(after);
        // Held while killing: once the program is seen to have ended, the
        // victim is on record.
        let mut killed = killed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = descendants::running();
        let at = family.iter().position(|it| it.pid == program);
        // Without the program, what is left is no longer its to lose.
        let Some(at) = at else { return };
        let parent = family.swap_remove(at);
        let victim = match family.len() as u64 {
            1.. if !choice.is_multiple_of(4) => {
                family.swap_remove((choice / 4) as usize % family.len())
            }
            _ => parent,
        };
        // An error means that it has ended since.
        if signal::kill(victim.pid, Signal::SIGKILL).is_ok() {
            *killed = Some(Killed {
                program: victim.pid == program,
                command: victim.command,
            });
        }
    });
}

/// Stops and continues every descendant, as long as this process lives.
fn stutter(every: Duration, stops: Arc<AtomicU64>) {
    thread::spawn(move || {
        loop {
            let family = descendants::running();
            for process in &family {
                // An error means that it has ended since.
                let _ = signal::kill(process.pid, Signal::SIGSTOP);
            }
            thread::sleep(every);
            let stopped = descendants::running().into_iter();
            let stopped = stopped.filter(|it| it.state == 'T').count();
            stops.fetch_add(stopped as u64, Ordering::SeqCst);
            for process in &family {
                let _ = signal::kill(process.pid, Signal::SIGCONT);
            }
            thread::sleep(every);
        }
    });
}

/// Kills the program and all its descendants when its limit has passed.
struct Watchdog {
    /// Takes a new limit, counted from the moment it is sent.
    limit: Sender<Duration>,
    fired: Arc<AtomicBool>,
    killed: Arc<Mutex<Vec<Descendant>>>,
}

impl Watchdog {
    fn start(child: Pid, deadline: Duration) -> Watchdog {
        let (limit, limits) = mpsc::channel();
        let killed = Arc::new(Mutex::new(Vec::new()));
        let fired = Arc::new(AtomicBool::new(false));
        let (log, flag) = (Arc::clone(&killed), Arc::clone(&fired));
        thread::spawn(move || {
            let mut limit = deadline;
            loop {
                match limits.recv_timeout(limit) {
                    Ok(new) => limit = new,
                    Err(RecvTimeoutError::Timeout) => {
                        flag.store(true, Ordering::SeqCst);
                        let found = descendants::kill_all(child);
                        log.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .extend(found);
                        limit = NEXT_SWEEP;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Watchdog {
            limit,
            fired,
            killed,
        }
    }

    fn killed(&self) -> Vec<Descendant> {
        self.killed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Ends everything when the harness is gone: its end of standard input is
/// closed by the kernel then, however it ended.
fn watch_lifeline(limit: Sender<Duration>) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = limit.send(Duration::ZERO);
    });
}
