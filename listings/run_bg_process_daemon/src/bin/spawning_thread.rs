// ANCHOR: all
//! Ends the thread that has spawned a daemon with a parent-death signal.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::alarm;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("daemon") => {
            let parent = args.next().context("the parent's PID is missing")?;
            die_with_parent(parent.parse()?)?;
            daemon()
        }
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let mut mains = start_daemon()?;
    let thread = thread::spawn(start_daemon);
    let mut threads = thread.join().map_err(|_| anyhow!("panic"))??;

    // `wait` closes the lifeline, unless somebody else holds it.
    let _lifeline = threads.stdin.take();
    let status = threads.wait()?;
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    assert_eq!(mains.try_wait()?, None);
    // ANCHOR_END: proof
    println!("spawned by a thread that has ended: {status}");
    println!("spawned by the main thread: runs");
    drop(mains.stdin.take());
    mains.wait()?;
    Ok(())
}

fn start_daemon() -> Result<Child> {
    let mut daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .arg(process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the daemon said {line:?}, not \"ready\"");
    Ok(daemon)
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let now = std::os::unix::process::parent_id();
    ensure!(now == parent, "the parent is gone");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> Result<()> {
    bail!("this program sets a parent-death signal, which takes Linux");
}

fn daemon() -> Result<()> {
    alarm::set(10); // another signal, should the expected one not come
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
