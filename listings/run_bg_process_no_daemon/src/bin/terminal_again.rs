// ANCHOR: all
//! Opens a terminal after setsid, before and after a second fork.

use std::env;
use std::fs::File;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::pty::openpty;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::wait;
use nix::unistd::{setsid, ttyname};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let role = args.next();
    let mut terminal = || args.next().context("the terminal is missing");
    match role.as_deref() {
        None => observer(),
        Some("leader") => leader(&terminal()?),
        Some("launcher") => launcher(&terminal()?),
        Some("member") => open(&terminal()?),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"leader\", \"launcher\" or \"member\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let terminal = openpty(None, None).context("cannot open a terminal")?;
    let name = ttyname(&terminal.slave)?.display().to_string();
    // ANCHOR: proof
    let leader = run("leader", &name)?;
    assert_eq!(leader, "has a terminal: true\n");

    let member = run("launcher", &name)?;
    assert_eq!(member, "has a terminal: false\n");
    // ANCHOR_END: proof
    wait().context("cannot wait for the member")?;
    print!("the leader of a session {leader}");
    print!("after a second fork {member}");
    Ok(())
}

fn run(role: &str, terminal: &str) -> Result<String> {
    let run = Command::new(env::current_exe()?)
        .args([role, terminal])
        .output()
        .with_context(|| format!("cannot run the {role}"))?;
    Ok(String::from_utf8(run.stdout)?)
}

// ANCHOR: roles
fn leader(terminal: &str) -> Result<()> {
    setsid()?;
    open(terminal)
}

fn launcher(terminal: &str) -> Result<()> {
    setsid()?;
    // The member goes on without us. It leads nothing.
    let member = Command::new(env::current_exe()?)
        .args(["member", terminal])
        .spawn()?;
    drop(member);
    Ok(())
}

fn open(terminal: &str) -> Result<()> {
    let _terminal = File::open(terminal)
        .with_context(|| format!("cannot open {terminal}"))?;
    // /dev/tty stands for the terminal of whoever opens it.
    println!("has a terminal: {}", File::open("/dev/tty").is_ok());
    Ok(())
}
// ANCHOR_END: roles

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
