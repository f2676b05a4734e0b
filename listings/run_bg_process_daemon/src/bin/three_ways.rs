// ANCHOR: all
//! Ends a main program in five ways, with each way to end its daemon.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::wait;

const ENDS: [&str; 5] = ["return", "panic", "exit", "abort", "SIGKILL"];

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => observer(),
        ["main", way, end] => main_program(way, end),
        ["daemon"] => daemon(),
        ["linux-daemon", parent] => {
            die_with_parent(parent.parse()?)?;
            daemon()
        }
        ["main", ..] => bail!("a way and an end are missing"),
        ["linux-daemon", ..] => bail!("the parent's PID is missing"),
        [role, ..] => bail!(
            "unknown role {role:?}: \
             expected \"main\", \"daemon\" or \"linux-daemon\""
        ),
    }
}

// ANCHOR: observer
fn observer() -> Result<()> {
    adopt_orphans()?;
    println!("{:9}{}", "", ENDS.map(|end| format!("{end:>9}")).concat());
    for (way, ends) in [
        ("guard", [true, true, false, false, false]),
        ("lifeline", [true, true, true, true, true]),
        ("pdeathsig", [true, true, true, true, true]),
        ("both", [true, true, true, true, true]),
    ] {
        print!("{way:9}");
        for (end, expected) in ENDS.into_iter().zip(ends) {
            let ended = daemon_ends(way, end, expected)?;
            assert_eq!(ended, expected, "{way}, {end}");
            print!("{:>9}", if ended { "ends" } else { "lives" });
        }
        println!();
    }
    Ok(())
}
// ANCHOR_END: observer

// ANCHOR: watch
/// Runs main to its end. Does its daemon end as well?
fn daemon_ends(way: &str, end: &str, expected: bool) -> Result<bool> {
    let (input, leash) = io::pipe()?;
    let mut main = Command::new(env::current_exe()?)
        .args(["main", way, end])
        .stdin(input)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start main")?;
    main.wait()?;
    // Only main and the daemon held this pipe: its hang-up is the last end.
    let pipe = main.stderr.take().context("main has no pipe")?;
    let mut ends = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    let patience = Duration::from_millis(if expected { 10_000 } else { 100 });
    let ended = poll(&mut ends, PollTimeout::try_from(patience)?)? == 1;
    // A daemon that has outlived main ends now.
    drop(leash);
    while wait().is_ok() {}
    Ok(ended)
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
        let _ = self.0.wait(); // the daemon may take its time
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
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the daemon said {line:?}, not \"ready\"");
    Ok(daemon)
}

/// Its input is the lifeline, or else the observer's leash.
fn daemon() -> Result<()> {
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}
// ANCHOR_END: all
