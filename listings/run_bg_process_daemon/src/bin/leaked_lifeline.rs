// ANCHOR: all
//! Lets a second process hold the writing end of a daemon's lifeline.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
    let siblings_input = main.stdin.take();
    let output = main.stdout.take().context("main has no output")?;
    let mut output = BufReader::new(output);
    let mut last_words = String::new();
    // ANCHOR: proof
    main.wait()?;
    // Main is gone, but its fork has a copy of the lifeline.
    let wait_ms = PollTimeout::from(100_u8);
    let mut words = [PollFd::new(output.get_ref().as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut words, wait_ms)?, 0, "the daemon speaks");

    drop(siblings_input); // the fork ends
    output.read_line(&mut last_words)?;
    assert_eq!(last_words, "main is gone\n");
    // ANCHOR_END: proof
    println!("after the end of main: the daemon notices nothing");
    println!("after the end of its fork: {last_words:?}");
    wait().context("cannot wait for the fork")?;
    wait().context("cannot wait for the daemon")?;
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
    let _lifeline = daemon.stdin;
    // SAFETY: this process has only one thread.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            io::copy(&mut io::stdin(), &mut io::sink())?;
            Ok(())
        }
    }
}
// ANCHOR_END: main_program

fn daemon() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("main is gone");
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
