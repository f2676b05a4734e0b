// ANCHOR: all
//! Proves that a guard joins its child however the function is left.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "logger" => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

// ANCHOR: guard
/// Joins the process when the value goes out of scope.
struct JoinOnDrop(Child);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        // wait closes the child's standard input first: its signal to stop.
        let end = match self.0.wait() {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot wait for it: {error}"),
        };
        // No println!: a panic here, during another, would abort.
        let _ = writeln!(io::stderr(), "the background process: {end}");
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
    // All goes well: wait as ever, and hear how the logger has ended.
    let mut logger = start_logger()?;
    let status = logger.0.wait().context("cannot wait for the logger")?;
    ensure!(status.success(), "the logger has failed: {status}");

    let logger = start_logger()?;
    let pid = Pid::from_raw(logger.0.id().try_into()?);
    assert!(task(logger).is_err());
    // Nothing is left to wait for: the guard has done it.
    assert_eq!(waitpid(pid, None), Err(Errno::ECHILD));
    let line = "main: the task failed, and its logger has been joined";
    writeln!(io::stdout(), "{line}")?;
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
    writeln!(io::stdout(), "logger: no more records")?;
    Ok(())
}
// ANCHOR_END: all
