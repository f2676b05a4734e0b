// ANCHOR: all
//! Asks for a parent-death signal when the parent has died already.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::parent_id;
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::alarm;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("adopter") => adopter(),
        Some("main") => match args.next().as_deref() {
            Some("observed") => main_program(),
            _ => bail!("the argument \"observed\" is missing"),
        },
        Some("daemon") => {
            let parent = args.next().context("the parent's PID is missing")?;
            daemon(parent.parse()?)
        }
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"adopter\", \"main\" or \"daemon\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let mut adopter = Command::new(env::current_exe()?)
        .arg("adopter")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the adopter")?;
    let mut questions = adopter.stdin.take().context("no input")?;
    let output = adopter.stdout.take().context("no output")?;
    let mut answers = BufReader::new(output).lines();
    let line = answers.next().context("the adopter is gone")??;
    ensure!(line == "main ended", "the adopter said {line:?}");
    let mut ask = |question| {
        writeln!(questions, "{question}")?;
        anyhow::Ok(answers.next().context("the daemon is gone")??)
    };

    // ANCHOR: proof
    // Main has ended, and only now its daemon makes the request.
    let report = ask("request")?;
    assert_eq!(report, "signal set: SIGKILL, parent as expected: false");
    assert_eq!(ask("still there?")?, "alive");

    // The daemon is the adopter's child by now.
    adopter.kill()?;
    adopter.wait()?;
    let end = wait()?;
    assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGKILL, _)));
    // ANCHOR_END: proof
    println!("{report}");
    println!("main had ended: the daemon lives");
    println!("the adopter ends: so does the daemon, by SIGKILL");
    Ok(())
}

/// Runs main to its end, and is the parent of its daemon from then on.
fn adopter() -> Result<()> {
    adopt_orphans()?;
    Command::new(env::current_exe()?)
        .args(["main", "observed"])
        .status()
        .context("cannot run main")?;
    println!("main ended");
    wait().context("cannot wait for the daemon")?;
    Ok(())
}

/// Its daemon inherits its input and output, which the observer holds.
fn main_program() -> Result<()> {
    let daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .arg(process::id().to_string())
        .spawn()
        .context("cannot start the daemon")?;
    drop(daemon);
    Ok(())
}

// ANCHOR: daemon
fn daemon(parent: u32) -> Result<()> {
    alarm::set(10); // another signal, should the expected one not come
    let mut questions = io::stdin().lines();
    questions.next().context("nobody asks for the request")??;
    let signal = set_pdeathsig()?;
    let as_expected = parent_id() == parent;
    println!("signal set: {signal}, parent as expected: {as_expected}");
    for question in questions {
        question?;
        println!("alive");
    }
    Ok(())
}
// ANCHOR_END: daemon

#[cfg(target_os = "linux")]
fn set_pdeathsig() -> Result<String> {
    use nix::sys::prctl;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let signal = prctl::get_pdeathsig()?.context("no signal is set")?;
    Ok(signal.to_string())
}

#[cfg(not(target_os = "linux"))]
fn set_pdeathsig() -> Result<String> {
    bail!("this program sets a parent-death signal, which takes Linux");
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
