// ANCHOR: all
//! Asks for a parent-death signal when the parent has died already.

use std::env;
use std::io::{self, Read};
use std::os::unix::process::parent_id;
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitStatus, wait};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("main") => match args.next().as_deref() {
            Some("observed") => main_program(),
            _ => bail!("the argument \"observed\" is missing"),
        },
        Some("daemon") => {
            let parent = args.next().context("the parent's PID is missing")?;
            daemon(parent.parse()?)
        }
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"daemon\"")
        }
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    // ANCHOR: proof
    let mut main = start_main()?;
    let start_signal = main.stdin.take();
    main.wait()?; // main is gone
    drop(start_signal); // only now its daemon goes on

    let mut report = String::new();
    let mut output = main.stdout.take().context("main has no output")?;
    output.read_to_string(&mut report)?;
    assert_eq!(report, "signal set: SIGKILL, parent as expected: false\n");
    assert!(matches!(wait()?, WaitStatus::Exited(_, 0)));
    // ANCHOR_END: proof
    print!("{report}");
    println!("and the daemon ran to its end");
    Ok(())
}

fn start_main() -> Result<process::Child> {
    Command::new(env::current_exe()?)
        .args(["main", "observed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start main")
}

/// Its daemon inherits its input and output.
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
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let signal = set_pdeathsig()?;
    let as_expected = parent_id() == parent;
    println!("signal set: {signal}, parent as expected: {as_expected}");
    Ok(())
}
// ANCHOR_END: daemon

#[cfg(target_os = "linux")]
fn set_pdeathsig() -> Result<String> {
    use nix::sys::prctl;
    prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
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
    Ok(())
}
// ANCHOR_END: all
