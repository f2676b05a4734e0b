// ANCHOR: all
//! Proves that a guard joins its child however the function is left.

use std::env;
use std::io;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("logger") => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

// ANCHOR: guard
/// Joins the process when the value goes out of scope.
struct JoinOnDrop(Child);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        // wait closes the child's standard input first: its signal to stop.
        if let Err(error) = self.0.wait() {
            eprintln!("cannot join the background process: {error}");
        }
    }
}
// ANCHOR_END: guard

// ANCHOR: proof
fn task(logger: JoinOnDrop) -> Result<u32> {
    let _logger = logger;
    let number: u32 = "12x".parse().context("not a number")?;
    Ok(number)
}

fn parent() -> Result<()> {
    let logger = start_logger()?;
    let pid = Pid::from_raw(logger.0.id().try_into()?);

    assert!(task(logger).is_err());
    // Nothing is left to wait for: the guard has done it.
    assert_eq!(waitpid(pid, None), Err(Errno::ECHILD));
    println!("main: the task failed, and its logger has been joined");
    Ok(())
}
// ANCHOR_END: proof

fn start_logger() -> Result<JoinOnDrop> {
    Command::new(env::current_exe()?)
        .arg("logger")
        .stdin(Stdio::piped())
        .spawn()
        .map(JoinOnDrop)
        .context("cannot start the logger")
}

fn logger() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::stdout())?;
    println!("logger: no more records");
    Ok(())
}
// ANCHOR_END: all
