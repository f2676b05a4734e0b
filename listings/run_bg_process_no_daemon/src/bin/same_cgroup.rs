// ANCHOR: all
//! Detaches a worker completely and compares its control group with ours.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::wait;
use nix::unistd::{getsid, setsid};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("launcher") => match args.next().as_deref() {
            Some("detach") => launcher(),
            _ => bail!("the argument \"detach\" is missing"),
        },
        Some("worker") => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"launcher\" or \"worker\"")
        }
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let run = Command::new(env::current_exe()?)
        .args(["launcher", "detach"])
        .output()
        .context("cannot run the launcher")?;
    wait().context("cannot wait for the worker")?;
    let report = String::from_utf8(run.stdout)?;
    // ANCHOR: proof
    let (session, groups) = report.split_once('\n').context("no report")?;
    assert_ne!(session, getsid(None)?.to_string());
    assert_eq!(groups, fs::read_to_string("/proc/self/cgroup")?);
    // ANCHOR_END: proof
    println!("session: another");
    println!("control group: the same");
    Ok(())
}

fn launcher() -> Result<()> {
    setsid()?;
    let worker = Command::new(env::current_exe()?).arg("worker").spawn()?;
    drop(worker);
    Ok(())
}

fn worker() -> Result<()> {
    println!("{}", getsid(None)?);
    print!("{}", fs::read_to_string("/proc/self/cgroup")?);
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
