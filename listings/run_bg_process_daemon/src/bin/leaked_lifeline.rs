// ANCHOR: all
//! Lets a second process hold the writing end of a daemon's lifeline.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, fork};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("main") => match args.next().as_deref() {
            Some("observed") => main_program(),
            _ => bail!("the argument \"observed\" is missing"),
        },
        Some("daemon") => daemon(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"daemon\"")
        }
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let mut main = start_main()?;
    let mut forks_input = main.stdin.take().context("main has no input")?;
    let output = main.stdout.take().context("main has no output")?;
    let mut words = BufReader::new(output).lines();
    let mut next = || {
        let line = words.next().context("the daemon is silent")?;
        anyhow::Ok(line?)
    };
    // ANCHOR: proof
    main.wait()?;
    // Main is gone, but its fork has a copy of the lifeline: what it passes
    // on through that copy the daemon answers.
    forks_input.write_all(b"still there?\n")?;
    assert_eq!(next()?, "still there? yes");

    drop(forks_input); // the fork ends
    assert_eq!(next()?, "main is gone");
    // ANCHOR_END: proof
    wait().context("cannot wait for the fork")?;
    wait().context("cannot wait for the daemon")?;
    println!("after the end of main: the daemon notices nothing");
    println!("after the end of its fork: \"main is gone\"");
    Ok(())
}

fn start_main() -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(["main", "observed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start main")
}

// ANCHOR: main_program
fn main_program() -> Result<()> {
    let daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let mut lifeline = daemon.stdin.context("no lifeline")?;
    // SAFETY: this process has only one thread.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let _ = io::copy(&mut io::stdin(), &mut lifeline);
            // SAFETY: ends the process, without a destructor of its parent's.
            unsafe { libc::_exit(0) }
        }
    }
}
// ANCHOR_END: main_program

fn daemon() -> Result<()> {
    for question in io::stdin().lines() {
        println!("{} yes", question?);
    }
    println!("main is gone");
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
