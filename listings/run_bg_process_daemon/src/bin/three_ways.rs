// ANCHOR: all
//! Ends a main program in five ways, with each way to end its daemon.

use std::env;
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::sys::wait::wait;

const ENDS: [&str; 5] = ["return", "panic", "exit", "abort", "SIGKILL"];

/// How long a daemon may take for its end, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let role = args.next();
    let mut next = |what| {
        let arg = args.next().with_context(|| format!("{what} is missing"))?;
        anyhow::Ok(arg.to_string_lossy().into_owned())
    };
    match role {
        None => observer(),
        Some(role) if role == "main" => {
            main_program(&next("a way")?, &next("an end")?)
        }
        Some(role) if role == "daemon" => daemon(),
        Some(role) if role == "linux-daemon" => {
            die_with_parent(next("the parent's PID")?.parse()?)?;
            daemon()
        }
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"main\", \"daemon\" or \"linux-daemon\""
        ),
    }
}

// ANCHOR: observer
fn observer() -> Result<()> {
    adopt_orphans()?;
    let ends = ENDS.map(|end| format!("{end:>9}")).concat();
    let mut table = format!("{:9}{ends}\n", "");
    for (way, ends) in [
        ("guard", [true, true, false, false, false]),
        ("lifeline", [true, true, true, true, true]),
        ("pdeathsig", [true, true, true, true, true]),
        ("both", [true, true, true, true, true]),
    ] {
        table += &format!("{way:9}");
        for (end, expected) in ENDS.into_iter().zip(ends) {
            let lives = daemon_lives(way, end)?;
            assert_eq!(!lives, expected, "{way}, {end}: it ends");
            table += if lives { "    lives" } else { "     ends" };
        }
        table += "\n";
    }
    io::stdout().write_all(table.as_bytes())?;
    Ok(())
}
// ANCHOR_END: observer

// ANCHOR: watch
/// Runs main to its end. Has its daemon an answer then?
fn daemon_lives(way: &str, end: &str) -> Result<bool> {
    let (input, leash) = io::pipe()?;
    let mut main = Command::new(env::current_exe()?)
        .args(["main", way, end])
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start main")?;
    let status = main.wait();
    // Only its daemon can still answer here, and it is the last to hang up.
    let answers = main.stdout.take().context("main has no output")?;
    let lives = answers_to(&leash, answers)?;
    // A daemon that has outlived main ends now.
    drop(leash);
    while wait() != Err(Errno::ECHILD) {}

    let mut errors = String::new();
    main.stderr
        .context("no errors")?
        .read_to_string(&mut errors)?;
    let status = status.context("cannot wait for main")?;
    ensure!(status.code() != Some(1), "main failed: {errors}");
    Ok(lives)
}

fn answers_to(mut leash: &PipeWriter, answers: ChildStdout) -> Result<bool> {
    // An error means that nobody is left to read the question.
    let _ = leash.write_all(b"still there?\n");
    let news = wait_for(&answers, PollFlags::POLLIN)?;
    ensure!(news, "the daemon neither answers nor ends");
    let mut line = String::new();
    BufReader::new(answers).read_line(&mut line)?;
    Ok(line == "alive\n")
}

/// Waits for an event, or for a hang-up. False if it takes too long.
fn wait_for(end: &impl AsFd, event: PollFlags) -> Result<bool> {
    let deadline = Instant::now().checked_add(PATIENCE);
    loop {
        let left = poll_time(deadline);
        match poll(&mut [PollFd::new(end.as_fd(), event)], left) {
            Err(Errno::EINTR) => {} // a signal came: wait on
            Ok(0) if left == PollTimeout::MAX => {} // and for longer
            ready => return Ok(ready? == 1),
        }
    }
}

/// What is left, rounded up to milliseconds, or the longest time there is.
fn poll_time(deadline: Option<Instant>) -> PollTimeout {
    let left = deadline.map_or(Duration::MAX, |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    let left = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
// ANCHOR_END: watch

fn main_program(way: &str, end: &str) -> Result<()> {
    match way {
        "guard" => {
            let daemon = start(&["daemon"], Stdio::inherit())?;
            let _guard = KillOnDrop(daemon);
            end_by(end)
        }
        "lifeline" => {
            let daemon = start(&["daemon"], Stdio::piped())?;
            let _lifeline = daemon.stdin;
            end_by(end)
        }
        "pdeathsig" => {
            let parent = process::id().to_string();
            start(&["linux-daemon", &parent], Stdio::inherit())?;
            end_by(end)
        }
        "both" => {
            let daemon = start(&["daemon"], Stdio::piped())?;
            let _guard = CutAndWait(daemon);
            end_by(end)
        }
        _ => bail!("unknown way: {way:?}"),
    }
}

// ANCHOR: guard
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // An error means that the daemon has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
// ANCHOR_END: guard

// ANCHOR: both
struct CutAndWait(Child);

impl Drop for CutAndWait {
    fn drop(&mut self) {
        drop(self.0.stdin.take()); // the lifeline
        // The daemon may take its time. Its output hangs up when it has ended.
        let output = self.0.stdout.as_ref();
        let end = output.map(|output| wait_for(output, PollFlags::empty()));
        if !matches!(end, Some(Ok(true))) {
            let _ = self.0.kill(); // it is stuck
        }
        let end = self.0.wait();
        if !end.as_ref().is_ok_and(|status| status.success()) {
            // A guard cannot return an error. println! would panic.
            let _ = writeln!(io::stderr(), "the daemon failed: {end:?}");
        }
    }
}
// ANCHOR_END: both

// ANCHOR: pdeathsig
#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the kernel knew of our wish.
    let now = std::os::unix::process::parent_id();
    ensure!(now == parent, "the parent is gone");
    Ok(())
}
// ANCHOR_END: pdeathsig

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> Result<()> {
    bail!("this program sets a parent-death signal, which takes Linux");
}

fn end_by(end: &str) -> Result<()> {
    match end {
        "return" => Ok(()),
        "panic" => panic!("main was told to panic"),
        "exit" => process::exit(3),
        "abort" => {
            #[cfg(target_os = "linux")] // leave no core file behind
            nix::sys::prctl::set_dumpable(false)?;
            process::abort()
        }
        "SIGKILL" => Ok(raise(Signal::SIGKILL)?),
        _ => bail!("unknown end: {end:?}"),
    }
}

fn start(args: &[&str], stdin: Stdio) -> Result<Child> {
    let mut daemon = Command::new(env::current_exe()?)
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::piped())
        // The observer's question is answered there.
        .stderr(io::stdout())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    let read = output.read_line(&mut line);
    if read.is_err() || line != "ready\n" {
        let _ = daemon.kill(); // no error if it has ended
        let end = daemon.wait()?;
        bail!("the daemon said {line:?}, not \"ready\": {end}");
    }
    daemon.stdout = Some(output.into_inner());
    Ok(daemon)
}

/// Its input is the lifeline, or else the observer's leash.
fn daemon() -> Result<()> {
    writeln!(io::stdout(), "ready")?;
    for question in io::stdin().lines() {
        question?;
        writeln!(io::stderr(), "alive")?;
    }
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}
// ANCHOR_END: all
